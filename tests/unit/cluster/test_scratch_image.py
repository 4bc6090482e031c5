"""An archive that containerd reads: blobs are named by their digests, equal programs give equal archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from cluster.scratch_image import ScratchImage, write_archive


def _image(folder: Path) -> ScratchImage:
    program = folder / "program"
    program.write_bytes(b"\x7fELF and so on")
    return ScratchImage(name="localhost/a:1", program=program, target="/bin/a", arguments=("x",))


def _read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {entry.name: (tar.extractfile(entry) or io.BytesIO()).read() for entry in tar}


def test_every_blob_has_the_digest_that_it_is_named_by(tmp_path: Path) -> None:
    files = _read(write_archive(_image(tmp_path), tmp_path / "a.tar"))
    blobs = {name: content for name, content in files.items() if name.startswith("blobs/")}
    assert len(blobs) == 3
    for name, content in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"


def test_the_program_is_in_it_and_is_what_starts(tmp_path: Path) -> None:
    files = _read(write_archive(_image(tmp_path), tmp_path / "a.tar"))
    [described] = json.loads(files["index.json"])["manifests"]
    assert described["annotations"]["io.containerd.image.name"] == "localhost/a:1"

    def blob(of: dict[str, str]) -> bytes:
        return files[f"blobs/{of['digest'].replace(':', '/')}"]

    manifest = json.loads(blob(described))
    config = json.loads(blob(manifest["config"]))
    layer = gzip.decompress(blob(manifest["layers"][0]))
    assert config["config"]["Entrypoint"] == ["/bin/a", "x"]
    assert config["config"]["User"] == "65532:65532"
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        [entry] = tar.getmembers()
        assert (entry.name, entry.mode) == ("bin/a", 0o755)


def test_equal_programs_make_equal_archives(tmp_path: Path) -> None:
    image = _image(tmp_path)
    one, other = (write_archive(image, tmp_path / name).read_bytes() for name in ("a.tar", "b.tar"))
    assert one == other
