"""``python -m cspine_zoo`` is ``cspine-zoo``."""

import sys

from cspine_zoo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
