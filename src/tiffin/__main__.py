"""`python -m tiffin`: the tiffin command."""
from __future__ import annotations

import sys

from tiffin.cli import main

sys.exit(main())
