"""The one place that knows of devices: which one to use, what it gains by, how a batch gets there."""

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unitscope.errors import UserError
from unitscope.new_files import remove
from unitscope.runtime.console import log, processors


def pick(name: str) -> torch.device:
    """Return the device of that name, set up for exact and repeatable float32.

    Args:
        name: "auto" (a GPU where there is one), "cpu", "cuda" or "mps".

    Raises:
        UserError: The device is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, present in available.items() if present)
    if not available.get(name, False):
        available_names = ", ".join(kind for kind, present in available.items() if present)
        raise UserError(
            f"device is {name!r}, which PyTorch does not find on this machine. Found: {available_names}. Use auto."
        )
    torch.set_num_threads(min(int(os.environ.get("OMP_NUM_THREADS") or processors()), processors()))
    # TensorFloat-32 would round responses to 10 bits, and make RS depend on the card.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    if name == "cuda" and torch.cuda.device_count() > 1:
        cards = [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]
        number = lease(cards, Path(tempfile.gettempdir()) / f"unitscope-gpus-{os.getuid()}")
        # What asks for no card by its number, asks for this one.
        torch.cuda.set_device(number)
        return torch.device(name, number)
    return torch.device(name)


def lease(names: Sequence[str], folder: Path) -> int:
    """Return the place of a device that nobody else holds, and hold it until this process ends.

    Snakemake counts GPUs and hands out none: of four jobs that run at once each shall have its own. The kernel gives a
    lock back when its process ends, however it ends.

    Args:
        names: The devices, the same in every process.
        folder: Where the lock files lie.
    """
    import fcntl

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        # Everybody may write into the folder for temporary files.
        raise UserError(f"{folder} is a link or belongs to another user. Delete it, or set TMPDIR to another folder.")
    has_warned = False
    while True:
        for number, name in enumerate(names):
            # A bare descriptor, which stays open as long as the process.
            path = folder / f"{re.sub('[^A-Za-z0-9-]', '_', name)}.lock"
            if path.is_symlink():
                remove(path)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                return number
        if not has_warned:
            log.warning("All %d GPUs are in use by other jobs. Waiting for one.", len(names))
            has_warned = True
        time.sleep(0.2)


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copy an array to a device; to a GPU from pinned memory, so that the copy does not hold up the computation."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def pixels(batch: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return images uint8 (images, height, width, channels) as float32 (images, channels, height, width) in [0, 1]."""
    return to_device(np.ascontiguousarray(batch), device).permute(0, 3, 1, 2).float().div_(255)


def wait_for(device: torch.device) -> None:
    """Wait until a device has done what it was given: a GPU's calls return before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Return the context of mixed-precision training: "float32", "bfloat16", or "auto".

    "auto" is bfloat16 on a GPU that computes in it; older ones emulate it, and take longer than in float32.
    """
    half = precision == "bfloat16" or (
        precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    return torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext()


def warn_of_slow_bfloat16(device: torch.device, precision: str) -> float:
    """Warn where bfloat16 was asked for and takes longer than float32: a processor without it emulates it.

    Returns:
        How many times the seconds of float32 a convolution takes; 0 where bfloat16 was not asked for.
    """
    if precision != "bfloat16":
        return 0.0
    slowdown = _seconds_of_convolution(device, torch.bfloat16) / _seconds_of_convolution(device, torch.float32)
    if slowdown > 1.5:
        log.warning(
            "precision: bfloat16 takes %.0f times as long as float32 on this %s, which has no arithmetic for it. "
            "Give precision: float32 there, or use another machine.",
            slowdown,
            device.type,
        )
    return slowdown


def _seconds_of_convolution(device: torch.device, dtype: torch.dtype) -> float:
    channels_last = torch.channels_last
    images = torch.ones(8, 64, 32, 32, device=device, dtype=dtype).contiguous(memory_format=channels_last)
    filters = torch.ones(64, 64, 3, 3, device=device, dtype=dtype).contiguous(memory_format=channels_last)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        # Reading a number waits for a device that computes on its own.
        float(torch.nn.functional.conv2d(images, filters, padding=1).sum())
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def compiled(function: Callable[..., Any], enabled: bool) -> Callable[..., Any]:
    """Return a function as torch.compile makes it, where that is wanted: it takes minutes first, and gains on a GPU."""
    return torch.compile(function) if enabled else function
