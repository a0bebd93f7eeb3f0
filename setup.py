"""The build, but for what setup.cfg says: the number server has another name in it.

In the repository it is a file of its own at the top. Installed, that would be a module
``number_server`` among everybody's, so it goes into the package ``domain``.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

#: Here first, then in a build: a package, a module's name, and its file.
NUMBER_SERVER = ("domain", "number_server", "number_server.py")


class BuildPy(build_py):
    """Build the packages, with the number server in that of the demo."""

    def find_package_modules(
        self, package: str, package_dir: str
    ) -> list[tuple[str, str, str]]:
        """List the modules of a package, each with its file."""
        modules = super().find_package_modules(package, package_dir)
        at_top = package == NUMBER_SERVER[0] and Path(NUMBER_SERVER[2]).exists()
        return [*modules, NUMBER_SERVER] if at_top else modules


setup(cmdclass={"build_py": BuildPy})
