"""``python -m msnvis``, as launchers of several processes need it."""

from msnvis.cli.main import main

main()
