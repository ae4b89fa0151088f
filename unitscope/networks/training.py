"""Training: stochastic gradient descent under a one-cycle schedule, linear heads on frozen features, evaluation.

A training that was cut off goes on from its last finished epoch and ends in the same bytes. What is trained belongs to
`unitscope.networks.building`.
"""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unitscope.data.datasets import Dataset, ahead
from unitscope.errors import UserError
from unitscope.networks.layouts import arrange
from unitscope.networks.normalization import layout_of
from unitscope.randomness import generator
from unitscope.runtime.console import log, progress
from unitscope.runtime.devices import autocast, pixels
from unitscope.storage.scratch import Scratch

EVALUATED_IMAGES = 250
EVALUATED_PIXELS = 2**20
"""At once, at most: 250 images of 64 x 64, 20 of 224 x 224, of which VGG16's first maps take 250 MiB each."""


def evaluation_batch(dataset: Dataset) -> int:
    """Return how many images of a data set are evaluated at once, so that memory does not grow with their size."""
    _, height, width = dataset.shape
    return max(1, min(EVALUATED_IMAGES, EVALUATED_PIXELS // (height * width)))


def channel_statistics(dataset: Dataset) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel over the training split, of pixels in [0, 1]."""
    count, total, squares = 0, np.zeros(dataset.shape[0]), np.zeros(dataset.shape[0])
    for batch in dataset.batches("train", evaluation_batch(dataset)):
        values = batch.reshape(-1, batch.shape[-1]).astype(np.float64) / 255
        count, total, squares = count + len(values), total + values.sum(0), squares + (values**2).sum(0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-12))
    return mean.round(6).tolist(), std.round(6).tolist()


def train(
    module: nn.Module,
    dataset: Dataset,
    settings: Mapping[str, Any],
    seed: int,
    scratch: Scratch,
    device: torch.device,
) -> list[dict[str, float]]:
    """Train a network in place.

    Args:
        module: The network, on the device.
        dataset: Its data set; a training split too large for memory is read and decoded beside the computing.
        settings: epochs, stop_after (None: all), batch, learning_rate, momentum, weight_decay, crop, flip, precision.
        seed: Of the order of images, the augmentation and dropout.
        scratch: Where the state after each epoch is kept until the training is done, whatever `stop_after` is.
        device: Where it runs.

    Returns:
        For each epoch: epoch, train_loss, train_accuracy, test_loss, test_accuracy.

    Raises:
        UserError: The loss is not finite any more.

    The last batch of an epoch is a smaller one where the images do not fill it.
    """
    arrange(module, layout_of(module))
    labels = torch.from_numpy(dataset.labels("train"))
    epochs = settings["epochs"]
    last = epochs if settings["stop_after"] is None else settings["stop_after"]
    if not last:
        module.eval()
        return []
    steps = len(_batches(len(labels), settings["batch"]))
    optimizer = torch.optim.SGD(
        module.parameters(),
        settings["learning_rate"],
        settings["momentum"],
        weight_decay=settings["weight_decay"],
        nesterov=settings["momentum"] > 0,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings["learning_rate"], total_steps=epochs * steps, cycle_momentum=False
    )
    history: list[dict[str, float]] = []
    # The last sound one; a later checkpoint of the same training may have left its own.
    kept = next(filter(None, (scratch.load(_state_after(epoch)) for epoch in range(last, 0, -1))), None)
    if kept is not None:
        state = torch.load(io.BytesIO(kept), map_location=device, weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        history = state["history"]
        log.info("the training goes on behind epoch %d", len(history))
    images = dataset.random_access("train")
    with progress(last, "training", "epochs", len(history)) as advance:
        for epoch in range(len(history), last):
            history.append(
                {
                    "epoch": epoch + 1,
                    **_epoch(module, images, labels, settings, (seed, epoch), device, optimizer, schedule),
                }
            )
            test = evaluate(module, dataset, "test", device)
            history[-1] |= {"test_loss": test["loss"], "test_accuracy": test["accuracy"]}
            log.info("epoch %d: %s", epoch + 1, {key: round(value, 4) for key, value in history[-1].items()})
            buffer = io.BytesIO()
            state = {
                "module": module.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
            }
            torch.save({**state, "history": history}, buffer)
            scratch.save(_state_after(epoch + 1), buffer.getvalue())
            # The one before it stays, in case that the disk damages this one.
            scratch.drop(_state_after(epoch - 1))
            advance(1)
    return history


def _state_after(epoch: int) -> str:
    """Return the name of the piece that holds the state after so many epochs."""
    return f"epoch{epoch}.pt"


def _batches(count: int, size: int) -> list[int]:
    """Return the sizes of an epoch's batches; none has one image alone, which a batch norm cannot be trained on."""
    whole, rest = divmod(count, size)
    sizes = [size] * whole + [rest] * (rest > 0)
    return [*sizes[:-2], size + 1] if rest == 1 and whole else sizes


def _epoch(
    module: nn.Module,
    images: Callable[[np.ndarray], np.ndarray],
    labels: Tensor,
    settings: Mapping[str, Any],
    name: tuple[int, int],
    device: torch.device,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> dict[str, float]:
    """Pass once over the training split; all its random numbers belong to (seed, epoch)."""
    random = generator("training", *name)
    # Dropout draws from torch's own generator.
    torch.manual_seed(int(random.integers(2**62)))
    order = torch.from_numpy(random.permutation(len(labels))).split(_batches(len(labels), settings["batch"]))

    def read(rows: Tensor) -> np.ndarray:
        return augmented(images(rows.numpy()), settings["crop"], settings["flip"], random)

    # Left on the device until the epoch is done, so that no step waits for another. Made beforehand: small tensors that
    # stay behind each step keep malloc from joining what the step's large ones leave free, GiB by an epoch.
    losses, hits = torch.empty(len(order), device=device), torch.empty(len(order), dtype=torch.int64, device=device)
    module.train()
    for step, (rows, batch) in enumerate(zip(order, ahead(read, order), strict=True)):
        target = labels[rows].to(device)
        with autocast(device, settings["precision"]):
            logits = module(pixels(batch, device))
            loss = F.cross_entropy(logits.float(), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses[step] = loss.detach() * len(rows)
        hits[step] = (logits.argmax(1) == target).sum()
    total, right = float(losses.sum()), int(hits.sum())
    if not np.isfinite(total):
        raise UserError(
            f"The training has diverged in epoch {name[1] + 1}: its loss is {total / len(labels)}. Lower "
            "networks.NAME.training.learning_rate."
        )
    return {"train_loss": total / len(labels), "train_accuracy": right / len(labels)}


def augmented(batch: np.ndarray, crop: int, flip: bool, random: np.random.Generator) -> np.ndarray:
    """Return images (images, height, width, channels), shifted by up to `crop` pixels and mirrored at random."""
    count, height, width, _ = batch.shape
    if crop:
        padded = np.pad(batch, ((0, 0), (crop, crop), (crop, crop), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (1, 2))
        top, left = random.integers(0, 2 * crop + 1, (2, count))
        batch = np.moveaxis(windows[np.arange(count), top, left], 1, -1)
    if flip:
        mirrored = np.less(random.random(count), 0.5)
        batch = np.where(mirrored[:, None, None, None], batch[:, :, ::-1], batch)
    return batch


def fit_linear_head(module: nn.Module, path: str, dataset: Dataset, weight_decay: float, device: torch.device) -> None:
    """Fit the linear layer that gives a network's logits on frozen features, by L-BFGS on all training images at once.

    Args:
        module: Changed in place.
        path: Of that layer.
        dataset: Labelled images.
        weight_decay: Penalty on half the squared weights, beside the mean cross-entropy.
        device: Where it runs.
    """
    module.eval().requires_grad_(False)
    head: Any = module.get_submodule(path)
    # Once, and standardized in place: of a million images they are gigabytes.
    features = torch.empty(dataset.count("train"), head.in_features, device=device)
    seen = 0

    def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        features[seen : seen + len(arguments[0])] = arguments[0]

    handle = head.register_forward_pre_hook(keep)
    try:
        with torch.no_grad(), progress(len(features), "features", "images") as advance:
            for batch in dataset.batches("train", evaluation_batch(dataset)):
                module(pixels(batch, device))
                seen += len(batch)
                advance(len(batch))
    finally:
        handle.remove()
    labels = torch.from_numpy(dataset.labels("train")).to(device)
    # On standardized features L-BFGS takes tens of steps instead of thousands; folded into the weights behind it.
    mean, std = features.mean(0), features.std(0).clamp(min=1e-6)
    standardized = features.sub_(mean).div_(std)
    weight = torch.zeros_like(head.weight, requires_grad=True)
    bias = torch.zeros_like(head.bias, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(standardized, weight, bias), labels) + weight_decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        head.weight.copy_(weight / std)
        head.bias.copy_(bias - (weight / std) @ mean)


def chance(labels: np.ndarray) -> tuple[float, float]:
    """Return the accuracy of always naming the commonest class of labels (images,), and twice its standard error."""
    share = float(np.bincount(labels).max() / len(labels))
    return share, 2 * float(np.sqrt(share * (1 - share) / len(labels)))


def evaluate(module: nn.Module, dataset: Dataset, split: str, device: torch.device) -> dict[str, Any]:
    """Return loss (mean cross-entropy, nats), accuracy, and accuracy by class on a split."""
    module.eval()
    labels = dataset.labels(split)
    loss, right, size = 0.0, [], evaluation_batch(dataset)
    with torch.no_grad():
        for number, batch in enumerate(dataset.batches(split, size)):
            target = torch.from_numpy(labels[number * size :][: len(batch)])
            # Summed on the processor: some devices lack double precision.
            logits = module(pixels(batch, device)).cpu()
            loss += float(F.cross_entropy(logits.double(), target, reduction="sum"))
            right.append((logits.argmax(1) == target).numpy())
    hits = np.concatenate(right)
    sizes = np.bincount(labels, minlength=len(dataset.classes))
    by_class = np.bincount(labels[hits], minlength=len(dataset.classes)) / np.maximum(sizes, 1)
    return {"loss": loss / len(hits), "accuracy": float(hits.mean()), "class_accuracy": by_class.tolist()}
