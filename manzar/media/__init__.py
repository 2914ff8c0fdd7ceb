"""Video files in and out: `read(path)` gives frames as a viewer shows them, `write(video, path)` a file that plays."""

from manzar.media.decode import Probe, frames, probe, read
from manzar.media.encode import write
from manzar.media.pictures import jpeg, strip

__all__ = ["Probe", "frames", "jpeg", "probe", "read", "strip", "write"]
