"""What pyproject.toml cannot express: whatever is built or installed contains the documentation as HTML.

Every build runs this file first, so the pages are rendered before setuptools collects the package's data.
"""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent))  # an isolated build does not look here

from development import docs  # found through the line above

docs.build()
setup()
