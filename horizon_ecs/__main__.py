"""`python -m horizon_ecs`."""

from horizon_ecs.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
