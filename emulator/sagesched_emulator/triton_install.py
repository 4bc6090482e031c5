"""A real `tritonserver` for a machine without a GPU, unpacked from the nvidia-pytriton wheel into a cache.

The wheel holds the server, its Python backend and a stub per Python version. The stub embeds an interpreter
of the same minor version, so libpython of that version must be found. The backend speaks to numpy through an
old ABI; it needs numpy < 2 and therefore packages of its own, apart from the environment this code runs in.

Layout of an installation (a folder of the cache, keyed by versions):
    wheel/   the wheel as pip unpacks it: pytriton/tritonserver/..., nvidia_pytriton.libs/
    site/    numpy and tokenizers for the models
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PYTRITON = "nvidia-pytriton==0.7.0"
SITE_PACKAGES = ("numpy==1.26.4", "tokenizers==0.23.3")
SUPPORTED_PYTHONS = ((3, 11), (3, 12))
"""Interpreters for which there are both a stub in the wheel and a build of numpy < 2."""

PIP_TIMEOUT_S = 600
UNFINISHED = "unfinished-"


class TritonInstallError(RuntimeError):
    """Triton cannot be installed or run here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class TritonInstallation:
    """Where an installation's parts are.

    Attributes:
        root: its folder in the cache.
    """

    root: Path

    @property
    def server(self) -> Path:
        """The tritonserver program."""
        return self.root / "wheel" / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """Folder for `--backend-directory`."""
        return self.root / "wheel" / "pytriton" / "tritonserver" / "backends"

    @property
    def libraries(self) -> Path:
        """Shared libraries that the server was linked with."""
        return self.root / "wheel" / "nvidia_pytriton.libs"

    @property
    def site(self) -> Path:
        """Packages for the models' interpreter."""
        return self.root / "site"


@dataclass(frozen=True, slots=True)
class EmbeddedPython:
    """What the stub's interpreter needs.

    Attributes:
        library_folder: holds libpython of this version.
        home: prefix of the standard library that belongs to it (PYTHONHOME).
    """

    library_folder: Path
    home: Path


def ensure_triton(cache: Path | None = None) -> TritonInstallation:
    """The installation in the cache, made first if need be; safe when several processes ask at once.

    Args:
        cache: folder to keep it in; None takes $SAGESCHED_CACHE or ~/.cache/sagesched.

    Raises:
        TritonInstallError: interpreter or machine is not supported, or a package could not be had.
    """
    _check_platform()
    cache = cache or default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    installation = TritonInstallation(cache / _folder_name())
    if installation.root.is_dir():
        return installation
    with _lock(cache / f"{_folder_name()}.lock"):
        if not installation.root.is_dir():
            _build(installation.root)
    return installation


def default_cache() -> Path:
    """$SAGESCHED_CACHE, or ~/.cache/sagesched."""
    configured = os.environ.get("SAGESCHED_CACHE")
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "sagesched"


def find_embedded_python() -> EmbeddedPython:
    """The shared libpython of the running interpreter's version, and its home.

    Raises:
        TritonInstallError: none is found; the message names the folders searched and the remedy.
    """
    name = f"libpython{_version()}.so.1.0"
    folders = _library_folders()
    for folder, home in folders:
        if (folder / name).exists():
            return EmbeddedPython(folder, home)
    searched = ", ".join(dict.fromkeys(str(folder) for folder, _ in folders))
    raise TritonInstallError(
        f"Triton's Python backend needs {name}, which is in none of {searched}; install it (on Debian or "
        f"Ubuntu: apt-get install libpython{_version()}) or use an interpreter built with --enable-shared"
    )


def _library_folders() -> list[tuple[Path, Path]]:
    """Where libpython may be, each with the prefix of its standard library: this interpreter's first."""
    own_home = Path(sys.base_prefix)
    configured = sysconfig.get_config_var("LIBDIR")
    folders = [(Path(configured), own_home)] if configured else []
    folders.append((own_home / "lib", own_home))
    usr = Path("/usr")
    systems = (usr / "lib" / f"{platform.machine()}-linux-gnu", usr / "lib64", usr / "lib")
    return [*folders, *((folder, usr) for folder in systems), (usr / "local" / "lib", usr / "local")]


def _check_platform() -> None:
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise TritonInstallError(
            "tritonserver runs on Linux on x86_64 or aarch64, this is "
            f"{sys.platform} on {platform.machine()}; use a Linux machine or container"
        )
    if sys.version_info[:2] not in SUPPORTED_PYTHONS:
        known = " or ".join(f"{major}.{minor}" for major, minor in SUPPORTED_PYTHONS)
        raise TritonInstallError(
            f"Triton's Python backend runs with Python {known}, this is {_version()}; make the virtual "
            f"environment with one of them"
        )


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _folder_name() -> str:
    packages = "-".join(package.replace("==", "-") for package in (PYTRITON, *SITE_PACKAGES))
    return f"{packages}-py{_version()}-{platform.machine()}"


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a file lock; it goes with the process, so a killed one leaves nothing behind but an empty file."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(root: Path) -> None:
    """Install into a folder beside the final one and rename it when complete."""
    prefix = f"{UNFINISHED}{root.name}-"
    for leftover in root.parent.glob(f"{prefix}*"):  # of a killed process: the lock says that it is nobody's
        shutil.rmtree(leftover, ignore_errors=True)
    _say(f"installing tritonserver into {root} (once, about 60 MB to fetch)")
    unfinished = Path(tempfile.mkdtemp(prefix=prefix, dir=root.parent))
    try:
        parts = TritonInstallation(unfinished)
        _pip_install(unfinished / "wheel", PYTRITON)
        _pip_install(parts.site, *SITE_PACKAGES)
        _choose_stub(parts)
        parts.server.chmod(0o755)
        unfinished.chmod(0o755)
        unfinished.rename(root)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _say("tritonserver is installed")


def _pip_install(target: Path, *packages: str) -> None:
    """Unpack packages without their dependencies; wheels only, since nothing can be compiled here."""
    _say(f"fetching {', '.join(packages)}")
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), *packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise TritonInstallError(
            f"pip took more than {PIP_TIMEOUT_S} s to fetch {', '.join(packages)}; "
            "check the network and try again"
        ) from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TritonInstallError(
            f"pip could not install {', '.join(packages)}: {reason}; "
            f"check that `{sys.executable} -m pip` works and reaches a package index"
        )


def _choose_stub(parts: TritonInstallation) -> None:
    """Put the stub of this Python version where the backend looks for it."""
    stubs = parts.root / "wheel" / "pytriton" / "tritonserver" / "python_backend_stubs"
    stub = parts.backends / "python" / "triton_python_backend_stub"
    shutil.copy(stubs / _version() / stub.name, stub)
    stub.chmod(0o755)
    shutil.rmtree(stubs)


def _say(line: str) -> None:
    print(f"sagesched: {line}", file=sys.stderr, flush=True)
