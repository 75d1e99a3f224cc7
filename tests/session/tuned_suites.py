"""A suite with ranges to tune, and what its sessions did."""

import yaml

from sfnbench import load_suite, plan, run_suite
from sfnbench.session.observer import Observer
from sfnbench.session.tuning import TUNED_FILE

BOWL = "{use: quadratic_saddle, label: bowl, eigenvalues: [4, 1], radius: 1}"
SUITE = f"""
seeds: 2
budget: {{steps: 10}}
problems: [{BOWL}]
optimizers:
  - {{use: gradient_descent, lr: {{uniform: [0.1, 0.5]}}}}
  - {{use: msgd, lr: {{loguniform: [0.01, 0.3]}}, momentum: {{choice: [0, 0.5]}}}}
  - sfn
tune: {{trials: 5, seeds: 3}}
"""


class Notes(Observer):
    def __init__(self):
        self.stages, self.begun, self.done, self.told = [], [], [], []

    def stage(self, name):
        self.stages.append(name)

    def begin(self, todo, n_stored, stale):
        self.begun.append((len(todo), n_stored))

    def finished(self, result):
        self.done.append(result)

    def tuned(self, found):
        self.told.append((found.run.method.label, found.best))


def run(path, **options):
    notes = Notes()
    folder = run_suite(path, engine="inline", observer=notes, **options).folder
    return folder, notes


def report(folder):
    tuned = yaml.safe_load((folder / TUNED_FILE).read_text())["tuned"]
    return {(each["problem"], each["optimizer"]): each for each in tuned}


def of(path, label):
    """The suite, and its open run of that optimizer."""
    suite = load_suite(path)
    return suite, next(run for run in plan(suite) if run.method.label == label)
