"""``python -m msnvis.cli`` is ``msnvis``, for launchers that start modules."""

from msnvis.cli.main import main

main()
