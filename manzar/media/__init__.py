"""Video files in and out: `read(path)` gives frames as a viewer shows them, `write(video, path)` a file that plays."""

from manzar.media.decode import Probe, frames, picture, probe, read
from manzar.media.encode import write, write_stream
from manzar.media.kinds import SUFFIXES, is_image_folder
from manzar.media.pictures import jpeg, strip, thumbnail
from manzar.media.stored import stored

__all__ = [
    "SUFFIXES",
    "Probe",
    "frames",
    "is_image_folder",
    "jpeg",
    "picture",
    "probe",
    "read",
    "stored",
    "strip",
    "thumbnail",
    "write",
    "write_stream",
]
