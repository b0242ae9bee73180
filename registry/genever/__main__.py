"""`python -m genever`."""

import sys

from genever.command import main

sys.exit(main())
