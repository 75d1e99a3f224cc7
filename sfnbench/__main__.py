"""``python -m sfnbench``."""

from .cli.main import main

main()
