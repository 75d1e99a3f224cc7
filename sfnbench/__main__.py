"""``python -m sfnbench``."""

from .cli import main

main()
