"""Exported programs: the same network with the same layers, and nothing run that a file holds."""

import inspect
import io
import json
import pickle
import re
import signal
import zipfile
from functools import partial
from operator import methodcaller

import pytest
import torch
import torchvision
from networks_by_hand import InPlace, Residual, Shared, Tokens, Varied, opened, quiet
from torch import nn, where
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from unitscope.errors import UserError
from unitscope.networks.aten import FUNCTIONS
from unitscope.networks.building import accept_pixels, build, freeze, normalized
from unitscope.networks.checkpoints import save_checkpoint
from unitscope.networks.closeness import close
from unitscope.networks.exported import read_exported
from unitscope.probing import nonlinearities
from unitscope.probing.following import say_unrecognized
from unitscope.probing.hooked import Hooked
from unitscope.probing.opening import open_checkpoint
from unitscope.probing.repeats import check_repeats
from unitscope.probing.traced import Traced
from unitscope.probing.tracing import trace

SIZE = (3, 8, 8)


def exported(module, shape=SIZE, images=2, dynamic=True, decomposed=False, strict=False):
    """Return the bytes of an exported network."""
    sizes = ({0: torch.export.Dim("images")},) if dynamic else None
    buffer = io.BytesIO()
    result = torch.export.export(module, (torch.rand(images, *shape),), dynamic_shapes=sizes, strict=strict)
    torch.export.save(result.run_decompositions({}) if decomposed else result, buffer)
    return buffer.getvalue()


def program(content):
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def changed(content, change):
    """Return an archive with its records changed by a function on a dictionary from names to bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(records)).split("/")[0]
    plain = {name.removeprefix(f"{root}/"): value for name, value in records.items()}
    change(plain)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, value in plain.items():
            archive.writestr(f"{root}/{name}", value)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def residual():
    return exported(quiet(Residual()))


def vision_transformer():
    from torchvision.models import VisionTransformer

    return VisionTransformer(
        image_size=8, patch_size=4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3
    )


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (Residual, SIZE),
        (Shared, (3, 2, 2)),
        (InPlace, SIZE),
        (Varied, SIZE),
        (Tokens, SIZE),
        (vision_transformer, SIZE),
    ],
)
def test_exported_network_equals_the_network(network, shape):
    module = quiet(network())
    images = torch.rand(5, *shape)
    rebuilt = read_exported(program(exported(module, shape)), shape)
    torch.testing.assert_close(rebuilt(images), module(images))
    assert rebuilt.state_dict().keys() == module.state_dict().keys()
    probe, module_probe = opened(rebuilt, shape), opened(module, shape)
    assert probe.layers == module_probe.layers and probe.traced and module_probe.traced
    for layer in probe:
        cut = layer.cut()
        torch.testing.assert_close(cut.suffix(*cut.prefix(images)[1:]), module(images))
        assert (cut.change is None) == (module_probe[layer.name].cut().change is None)


@pytest.mark.parametrize("function", [nn.functional.relu6, nn.functional.relu, nn.functional.hardtanh])
def test_in_place_changes_are_seen_by_later_readers(function):
    class Discarding(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            x = 9 * self.conv(x)
            function(x, inplace=True)
            return self.last(x.mean((2, 3)))

    module, images = quiet(Discarding()), torch.rand(4, *SIZE)
    torch.testing.assert_close(read_exported(program(exported(module)), SIZE)(images), module(images))


def test_checkpoint_contains_the_program(tmp_path, residual):
    network = {
        "source": "exported",
        "model": "x.pt2",
        "options": {},
        "head": {"fit": "linear", "replaces": "last_layer"},
    }
    module = build({**network, "program": program(residual)}, SIZE, 7)
    scale = {"mean": [0.5] * 3, "std": [0.25] * 3}
    names = [str(number) for number in range(7)]
    described = {**network, **scale, "input": list(SIZE), "classes": names, "program": program(residual)}
    save_checkpoint(tmp_path / "x.pt", module, described)
    module = freeze(accept_pixels(module, **scale))
    loaded, record = open_checkpoint(tmp_path / "x.pt")
    images = torch.rand(2, *SIZE)
    assert torch.equal(loaded(images), module(images)) and loaded(images).shape == (2, 7)
    assert "program" not in record


class Viewing(nn.Module):
    """A network that asks how many images there are."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(192, 3)

    def forward(self, x):
        return self.last(x.view(x.shape[0], -1))


class Placed(nn.Module):
    """Makes tensors of its own, and says of what kind they are."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, images):
        maps = torch.relu(self.conv(images.float()))
        places = torch.arange(maps.shape[-1], device=maps.device, dtype=torch.float32)
        ones = torch.ones(maps.shape[-2], 1)
        return self.last((maps * places * ones).mean((2, 3)))


def test_tensors_of_a_program_are_created_on_the_device_of_its_weights():
    module = quiet(Placed())
    rebuilt, images = read_exported(program(exported(module)), SIZE), torch.rand(3, *SIZE)
    torch.testing.assert_close(rebuilt(images), module(images))
    on_meta = accept_pixels(rebuilt, [0.0] * 3, [1.0] * 3).to("meta")
    assert on_meta(images.to("meta")).device.type == "meta"
    traced = Traced(trace(on_meta))
    (first, *_) = traced.describe(SIZE)
    cut = traced.cut(first.name)
    assert cut.suffix(*cut.prefix(images.to("meta"))[1:]).device.type == "meta"


def test_a_program_for_one_number_of_images():
    assert read_exported(program(exported(Viewing())), SIZE)(torch.rand(4, *SIZE)).shape == (4, 3)
    with pytest.raises(UserError, match="it was exported for 2 images alone, without dynamic_shapes"):
        read_exported(program(exported(Viewing(), dynamic=False)), SIZE)


def test_a_program_in_training_mode():
    with pytest.raises(UserError, match=r"call module\.eval\(\)"):
        read_exported(program(exported(Residual().train())), SIZE)


def test_images_of_another_size(residual):
    with pytest.raises(UserError, match=r"does not take 1 images of shape \(1, 8, 8\)") as error:
        read_exported(program(residual), (1, 8, 8))
    assert "without dynamic_shapes" not in str(error.value)


def test_a_program_for_images_in_another_precision():
    buffer = io.BytesIO()
    sizes = ({0: torch.export.Dim("images")},)
    images = torch.rand(2, *SIZE, dtype=torch.float64)
    torch.export.save(torch.export.export(quiet(Residual()).double(), (images,), dynamic_shapes=sizes), buffer)
    with pytest.raises(UserError, match=r"exported for images in float64, and gets float32\. ") as error:
        read_exported(program(buffer.getvalue()), SIZE)
    assert "without dynamic_shapes" not in str(error.value)


class Adapted(nn.Linear):
    """A linear layer with a low-rank addition (LoRA)."""

    def __init__(self, first):
        super().__init__(12, 6)
        self.a, self.b, self.first = nn.Linear(12, 2, bias=False), nn.Linear(2, 6, bias=False), first

    def forward(self, x):
        # The order of calls is the order of a program.
        added = self.b(self.a(x)) if self.first else 0
        return super().forward(x) + (added if self.first else torch.tanh(self.b(self.a(x))))


class Activated(nn.Conv2d):
    """A convolution with an element-wise operation of its own."""

    def __init__(self, bend):
        super().__init__(3, 3, 3)
        self.bend = bend

    def forward(self, x):
        return self.bend(super().forward(x))


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize(
    ("conv", "linear"),
    [
        (partial(Activated, nn.ReLU(inplace=True)), partial(Adapted, True)),
        (partial(Activated, torch.tanh), partial(Adapted, False)),
        (partial(Activated, nn.Identity()), partial(nn.Linear, 12, 6)),
    ],
)
def test_a_layer_of_a_torch_subclass_has_the_output_of_its_module(conv, linear, decomposed):
    parts = [conv(), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), linear(), nn.ReLU(), nn.Linear(6, 3)]
    module = quiet(nn.Sequential(*parts))
    read = freeze(read_exported(program(exported(module, decomposed=decomposed)), SIZE))
    images, values = torch.rand(4, *SIZE), {}
    for path in ("0", "4"):
        module.get_submodule(path).register_forward_hook(
            lambda _, __, out, path=path: values.update({path: out.clone()})
        )
    probe = opened(read)
    torch.testing.assert_close(probe(images), module(images))
    assert {"0", "4", "6"} <= {layer.name for layer in probe}
    for path, value in values.items():
        _, after = probe[path].prefix("mean")(images)
        mean = partial(torch.mean, dim=(2, 3)) if value.dim() == 4 else torch.clone
        torch.testing.assert_close(after, mean(F.relu(value)))


class Summed(nn.Module):
    """Sums all values that a convolution gives."""

    def __init__(self, bend):
        super().__init__()
        self.conv, self.fc = Activated(bend), nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(sum(value.flatten(2).mean(2) for value in self.conv(x)))


@pytest.mark.parametrize("bend", [lambda x: (torch.tanh(x), torch.cos(x)), lambda x: x.flatten(2)[None]])
def test_a_layer_without_one_output_is_left_out_with_a_warning(bend, caplog):
    module = quiet(Summed(bend))
    read = freeze(read_exported(program(exported(module)), SIZE))
    assert [layer.name for layer in opened(read)] == ["fc"]
    assert "conv is no layer of the exported program" in caplog.text
    images = torch.rand(4, *SIZE)
    torch.testing.assert_close(read(images), module(images))


class Named(nn.Module):
    """A convolution under two names, called by each."""

    def __init__(self):
        super().__init__()
        self.a, self.between, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 3, 1), nn.Linear(6, 3)
        self.b = self.a

    def forward(self, x):
        return self.fc(F.relu(self.b(self.between(F.relu(self.a(x))))).mean((2, 3)))


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_a_module_with_two_names_is_a_layer_at_both_calls(strict, decomposed):
    module = quiet(Named())
    read = freeze(read_exported(program(exported(module, strict=strict, decomposed=decomposed)), SIZE))
    images = torch.rand(4, *SIZE)
    # A strict export knows that it is one module, as torch.fx does.
    assert [layer.name for layer in opened(read)] == ["a", "between", "a-call2" if strict else "b", "fc"]
    torch.testing.assert_close(read(images), module(images))


@pytest.mark.parametrize("share", [0, 0.5, 0.98])
def test_truncated_program_file(residual, share):
    with pytest.raises(UserError, match="is refused"):
        read_exported(program(residual[: int(share * len(residual))] or b"x"), SIZE)


# --- what is refused -------------------------------------------------------------------------------------------------


class Hostile:
    """What runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def in_graph(edit):
    def change(records):
        model = json.loads(records["models/model.json"])
        edit(model)
        records["models/model.json"] = json.dumps(model).encode()

    return change


def nodes(model):
    return model["graph_module"]["graph"]["nodes"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("torch.serialization.os.system", "no operator of ATen"),
        ("torch.hub.load", "no operator of ATen"),
        ("torch.ops.aten.from_file.default", "no operator of ATen"),
        ("_operator.methodcaller", "no operator of ATen"),
        ("#extension", "no operator of ATen"),
    ],
)
def test_functions_beyond_aten_are_refused(residual, target, message):
    content = changed(residual, in_graph(lambda model: nodes(model)[0].update(target=target)))
    with pytest.raises(UserError, match=message):
        read_exported(program(content), SIZE)


def test_expressions_in_programs_are_not_evaluated(tmp_path):
    content = exported(quiet(Tokens()))
    ran = tmp_path / "ran"

    def edit(model):
        text = json.dumps(model)
        first = text.index('"expr_str": "') + len('"expr_str": "')
        hostile = f"__import__('pathlib').Path('{ran}').touch()"
        model.clear()
        model.update(json.loads(text[:first] + hostile + text[text.index('"', first) :]))

    with pytest.raises(UserError, match=r"computes a size by .__import__"):
        read_exported(program(changed(content, in_graph(edit))), SIZE)
    assert not ran.exists()


def hung(number, frame):
    raise TimeoutError("it has not been refused at once")


@pytest.mark.parametrize("text", ["1" * 60 + "!", "s1" * 40 + "!", "Symbol('s0'" + ", a=True" * 40])
def test_ambiguous_expressions_are_refused_quickly(text):
    content = exported(quiet(Tokens()))

    def edit(model):
        written = json.dumps(model)
        first = written.index('"expr_str": "') + len('"expr_str": "')
        model.clear()
        model.update(json.loads(written[:first] + text + written[written.index('"', first) :]))

    # Tried in all ways, it would never end; a hang shall fail.
    hostile = program(changed(content, in_graph(edit)))
    previous = signal.signal(signal.SIGALRM, hung)
    signal.alarm(5)
    try:
        with pytest.raises(UserError, match="computes a size by"):
            read_exported(hostile, SIZE)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def test_nothing_is_unpickled(residual, tmp_path):
    ran = tmp_path / "ran"
    hostile = pickle.dumps(Hostile(ran))

    def inputs(records):
        buffer = io.BytesIO()
        torch.save(Hostile(ran), buffer)
        records["data/sample_inputs/model.pt"] = buffer.getvalue()

    def weights(records):
        name = "data/weights/model_weights_config.json"
        config = json.loads(records[name])
        next(iter(config["config"].values()))["use_pickle"] = True
        records[name] = json.dumps(config).encode()
        records["data/weights/weight_0"] = hostile

    def constants(records):
        name = "data/constants/model_constants_config.json"
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False, "tensor_meta": None}
        records[name] = json.dumps({"config": {"x": entry}}).encode()
        records["data/constants/tensor_0"] = hostile

    def legacy(records):
        records["data/weights/model.pt"] = hostile

    for change, message in (
        (inputs, "sample inputs are more than tensors"),
        (weights, "is pickled"),
        (constants, "is pickled"),
        (legacy, "neither a tensor nor a graph"),
    ):
        with pytest.raises(UserError, match=message):
            read_exported(program(changed(residual, change)), SIZE)
        assert not ran.exists(), change.__name__


def test_names_cannot_inject_code(residual, tmp_path):
    ran = tmp_path / "ran"
    hostile = f"x\"); open('{ran}', 'w'); (\""

    def value(model):
        text = json.dumps(model).replace('"name": "conv2d"', f'"name": {json.dumps(hostile)}')
        model.clear()
        model.update(json.loads(text))

    def keyword(model):
        nodes(model)[0]["inputs"][0].update(name=f"input=open('{ran}', 'w'), other", kind=2)

    def weight(records):
        for name in ("data/weights/model_weights_config.json", "models/model.json"):
            records[name] = records[name].replace(b"stem.weight", json.dumps(hostile)[1:-1].encode())

    for change in (in_graph(value), in_graph(keyword), weight):
        with pytest.raises(UserError, match="it holds the name"):
            read_exported(program(changed(residual, change)), SIZE)
        assert not ran.exists()


def test_types_of_inputs_and_outputs(residual):
    def edit(model):
        text = json.dumps(model).replace("builtins.tuple", "collections.OrderedDict")
        model.clear()
        model.update(json.loads(text))

    with pytest.raises(UserError, match=r"of the types \['collections\.OrderedDict'\]"):
        read_exported(program(changed(residual, in_graph(edit))), SIZE)


def test_two_inputs_are_refused():
    class Two(nn.Module):
        def forward(self, x, y):
            return (x + y).mean((2, 3))

    buffer = io.BytesIO()
    torch.export.save(torch.export.export(Two(), (torch.rand(2, *SIZE), torch.rand(2, *SIZE))), buffer)
    with pytest.raises(UserError, match="one batch of images"):
        read_exported(program(buffer.getvalue()), SIZE)


# --- the same network ------------------------------------------------------------------------------------------------


class Bending(nn.Module):
    """A pre-activation block: what reads x later must not read relu(x)."""

    def __init__(self, bend):
        super().__init__()
        self.conv, self.inner, self.last, self.bend = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 3), bend

    def forward(self, images):
        x = self.conv(images)
        x = x + self.inner(self.bend(x))
        return self.last(x.mean((2, 3)))


@pytest.mark.parametrize(
    "bend", [nn.ReLU(), torch.relu, F.leaky_relu, F.elu, F.silu, F.hardsigmoid, F.hardtanh, nn.ReLU6(), F.softsign]
)
def test_nonlinearity_whose_input_is_also_read_elsewhere(bend):
    module = quiet(Bending(bend))
    rebuilt, images = read_exported(program(exported(module)), SIZE), torch.rand(3, *SIZE)
    probe = opened(rebuilt)
    assert probe.traced and close(probe(images), module(images))
    assert [layer.name for layer in probe] == ["conv", "inner", "last"]
    cut = probe["conv"].cut()
    assert close(cut.suffix(*cut.prefix(images)[1:]), module(images))


class Several(nn.Module):
    def __init__(self, returned):
        super().__init__()
        self.last, self.returned = nn.Linear(192, 3), returned

    def forward(self, images):
        features = images.flatten(1)
        return self.returned(self.last(features), features)


@pytest.mark.parametrize(
    ("returned", "key"),
    [
        (lambda logits, features: (logits, features), 0),
        (lambda logits, features: [features, logits], 1),
        (lambda logits, features: {"features": features, "logits": logits}, "logits"),
    ],
)
def test_a_program_returns_what_the_network_returns(returned, key):
    module = quiet(Several(returned))
    rebuilt, images = read_exported(program(exported(module)), SIZE), torch.rand(3, *SIZE)
    assert close(rebuilt(images)[key], module(images)[key]) and type(rebuilt(images)) is type(module(images))
    wrapped = normalized(rebuilt, SIZE, ([0.0] * 3, [1.0] * 3), {}, ["a", "b", "c"])
    assert close(wrapped(images), module(images)[key])


def test_a_program_with_active_dropout_is_refused_before_the_work():
    class On(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(192, 3)

        def forward(self, images):
            return self.last(F.dropout(images.flatten(1), 0.5, True))

    rebuilt = read_exported(program(exported(quiet(On()))), SIZE)
    with pytest.raises(UserError, match=r"draws random numbers.*allow: \[randomness\]"):
        check_repeats(rebuilt, torch.rand(3, *SIZE))


def test_a_program_that_changes_a_buffer_is_refused():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(192, 3)
            self.register_buffer("count", torch.zeros(3))

        def forward(self, images):
            self.count.add_(1)
            return self.last(images.flatten(1)) + self.count

    with pytest.raises(UserError, match="it changes a buffer"):
        read_exported(program(exported(Counting().eval())), SIZE)


def test_graph_that_is_rebuilt_differently_is_refused(residual, monkeypatch):
    monkeypatch.setitem(FUNCTIONS, "relu", (torch.abs, 1))
    with pytest.raises(UserError, match="compute something else"):
        read_exported(program(residual), SIZE)


# --- the same activations --------------------------------------------------------------------------------------------


ARGUMENTS = {
    "clamp": (0.0,),
    "clip": (0.0, 1.0),
    "clamp_min": (0.0,),
    "clamp_max": (1.0,),
    "hardtanh": (0.0, 1.0),
    "threshold": (0.1, 0.0),
}


def python_forms(name):
    """Return every form in which a nonlinearity is known from Python, as functions and modules."""
    forms = []
    values = ARGUMENTS.get(name, ())
    for operation in [key for key, canonical_name in nonlinearities._NAMES.items() if canonical_name == name]:
        if isinstance(operation, type):
            forms.append(operation(*values))
            if "inplace" in inspect.signature(operation).parameters:
                forms.append(operation(*values, inplace=True))
        elif isinstance(operation, str):
            weight = (torch.full((1,), 0.2),) if name == "prelu" else values
            for method in (operation, f"{operation}_"):
                if hasattr(torch.Tensor, method):
                    forms.append(methodcaller(method, *weight))
                forms += [called(getattr(home, method), weight) for home in (torch, F) if hasattr(home, method)]
    return forms


def called(function, arguments):
    return lambda x: function(x, *arguments)


class Bends(nn.Module):
    """One layer for every form of a nonlinearity."""

    def __init__(self, forms):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in forms)
        self.modules_of = nn.ModuleList(form if isinstance(form, nn.Module) else nn.Identity() for form in forms)
        self.forms = [None if isinstance(form, nn.Module) else form for form in forms]
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        for conv, module, form in zip(self.convs, self.modules_of, self.forms, strict=True):
            x = 4 * module(conv(x)) if form is None else 4 * form(conv(x))
        return self.last(x.mean((2, 3)))


def analysed_alike(module, **options):
    """Hold an exported network, traced and followed by hooks, against the module: taps, activations, ablation."""
    images = torch.randn(4, *SIZE)
    module_form = form_of(module)
    descriptions = module_form.describe(SIZE)
    rebuilt = read_exported(program(exported(module, **options)), SIZE)
    for form in (Traced(trace(rebuilt), name="Exported"), Hooked(rebuilt)):
        assert form.describe(SIZE) == descriptions
        for layer in descriptions[:-1]:
            for one, other in zip(
                form.prefix(layer.name, "mean")(images), module_form.prefix(layer.name, "mean")(images), strict=True
            ):
                torch.testing.assert_close(one, other, check_dtype=False)
            removed, values = torch.arange(layer.units) == 0, torch.zeros(layer.units)
            torch.testing.assert_close(
                form.held([layer.name])(images, removed, values),
                module_form.held([layer.name])(images, removed, values),
            )
    return descriptions


def form_of(module):
    """Return a network in the form in which it can be read: traced, else followed by hooks."""
    graph = trace(module)
    return Hooked(module) if graph is None else Traced(graph)


@pytest.mark.slow
@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("name", sorted(set(nonlinearities._NAMES.values())))
def test_a_nonlinearity_recognized_in_python_is_recognized_in_a_program(name, decomposed):
    module = quiet(Bends(python_forms(name)))
    descriptions = analysed_alike(module, decomposed=decomposed)
    positive = {*nonlinearities._POSITIVE, *ARGUMENTS} - {"clamp_max"}
    assert [layer.signed for layer in descriptions[:-1]] == [name not in positive] * len(module.convs)
    pre, activation = form_of(module).prefix(descriptions[0].name, "mean")(torch.randn(2, *SIZE))
    assert not torch.equal(pre, activation)


class Normed(nn.Module):
    """Batch norms of every kind: of maps and neurons, without weights, and as a function."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 4)
        self.norm, self.bare, self.neurons = nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        x = F.relu(self.norm(self.first(x)))
        x = F.relu6(self.bare(self.second(x)), inplace=True)
        x = self.neurons(self.third(x.mean((2, 3))))
        return self.last(x.clamp_min(0))


class Borrowing(Normed):
    """A function that uses the weights of a batch norm."""

    def forward(self, x):
        norm = self.norm
        x = F.batch_norm(self.first(x), norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return self.last(F.relu(x).mean((2, 3)))


@pytest.mark.parametrize("decomposed", [False, True])
def test_a_batch_norm_that_is_a_function_belongs_to_the_tap(decomposed):
    assert [layer.signed for layer in analysed_alike(quiet(Borrowing()), decomposed=decomposed)] == [False, True]


@pytest.mark.parametrize("decomposed", [False, True])
def test_batch_norms_of_a_decomposed_program_belong_to_the_tap(decomposed):
    module = quiet(Normed())
    descriptions = analysed_alike(module, decomposed=decomposed)
    assert [layer.signed for layer in descriptions] == [False, False, False, True]
    rebuilt = read_exported(program(exported(module, decomposed=decomposed)), SIZE)
    assert rebuilt.state_dict().keys() == module.state_dict().keys()


class Blocks(nn.Module):
    """Part of the pass runs in a context."""

    def __init__(self, context):
        super().__init__()
        self.first, self.second, self.last, self.context = (
            nn.Conv2d(3, 4, 3),
            nn.Conv2d(4, 4, 3),
            nn.Linear(4, 2),
            context,
        )

    def forward(self, x):
        with self.context():
            x = torch.relu(self.first(x))
        return self.last(torch.relu(self.second(x.float())).mean((2, 3)))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("context", [torch.no_grad, partial(torch.autocast, "cpu", torch.bfloat16, enabled=False)])
def test_a_block_without_gradients_or_autocast_is_followed(context, strict):
    descriptions = analysed_alike(quiet(Blocks(context)).requires_grad_(), strict=strict)
    assert [layer.name for layer in descriptions] == ["first", "second", "last"]


@pytest.mark.parametrize("decomposed", [False, True])
def test_block_under_autocast_is_refused_with_a_remedy(decomposed):
    content = exported(quiet(Blocks(partial(torch.autocast, "cpu", torch.bfloat16))), decomposed=decomposed)
    with pytest.raises(UserError, match=r"torch\.autocast.*again without"):
        read_exported(program(content), SIZE)


def test_block_with_unnamed_layers_is_refused_with_a_remedy():
    content = exported(quiet(Blocks(torch.no_grad)).requires_grad_(), decomposed=True)
    with pytest.raises(UserError, match=r"torch\.no_grad.*without run_decompositions"):
        read_exported(program(content), SIZE)


class Checkpointed(Blocks):
    def forward(self, x):
        x = torch.relu(self.first(x))
        x = checkpoint(lambda values: torch.relu(self.second(values)), x, use_reentrant=False)
        return self.last(x.mean((2, 3)))


@pytest.mark.parametrize("decomposed", [False, True])
def test_an_exported_network_with_checkpoints(decomposed):
    module = quiet(Checkpointed(None))
    analysed_alike(module, decomposed=decomposed)
    rebuilt = freeze(read_exported(program(exported(module, decomposed=decomposed)), SIZE))
    images = torch.rand(2, *SIZE, requires_grad=True)
    gradients = [torch.autograd.grad(network(images).square().sum(), images)[0] for network in (rebuilt, module)]
    torch.testing.assert_close(*gradients)
    for layer in ("first", "second"):
        gradients = [
            torch.autograd.grad(form_of(network).prefix(layer, "mean")(images)[1].square().sum(), images)[0]
            for network in (rebuilt, module)
        ]
        torch.testing.assert_close(*gradients)


class Between(Blocks):
    """Something between two layers."""

    def __init__(self, between):
        super().__init__(None)
        self.between = between

    def forward(self, x):
        x = self.between(self.first(x))
        return self.last(torch.relu(self.second(x.float())).mean((2, 3)))


PASSED_ON = {
    "contiguous": lambda x: F.relu(x.contiguous()),
    "clone": lambda x: F.relu(x.clone(), inplace=True),
    "torch.clone": lambda x: torch.clone(x).relu_(),
    "float": lambda x: F.relu(x.float()),
    "double": lambda x: F.relu(x.double()),
    "to dtype": lambda x: F.relu(x.to(torch.float32)),
    "to dtype of": lambda x: F.relu(x.to(x.dtype)),
    "to device": lambda x: F.relu(x.to(x.device)),
    "to both": lambda x: F.relu(x.to(x.device, x.dtype)),
    "to layout": lambda x: F.relu(x.to(memory_format=torch.channels_last)),
    "dropout": lambda x: F.relu(F.dropout(x, 0.5, False)),
    "alpha dropout": nn.Sequential(nn.AlphaDropout(), nn.ReLU()),
    "dropout of maps": nn.Sequential(nn.Dropout2d(), nn.Identity(), nn.ReLU()),
}


@pytest.mark.slow
@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("between", PASSED_ON)
def test_identity_operations_pass_through_in_a_program(between, decomposed, caplog):
    module = quiet(Between(PASSED_ON[between]))
    descriptions = analysed_alike(module, decomposed=decomposed)
    assert [layer.signed for layer in descriptions] == [False, False, True] and "is taken before" not in caplog.text
    assert Hooked(module).describe(SIZE) == descriptions


FROZEN = torchvision.ops.FrozenBatchNorm2d(4)
NOT_FOLLOWED = {
    "maximum": (lambda x: torch.maximum(x, torch.zeros_like(x)), {"zeros_like", "maximum"}),
    "maximum of a constant": (lambda x: torch.maximum(x, torch.zeros(())), {"maximum"}),
    "max": (lambda x: torch.max(x, torch.zeros(())), {"max"}),
    "where": (lambda x: torch.where(x > 0, x, 0.0), {"gt", "where"}),
    "where, imported": (lambda x: where(x > 0, x, 0), {"gt", "where"}),
    "mask": (lambda x: x * (x > 0), {"gt", "mul"}),
    "silu": (lambda x: x * torch.sigmoid(x), {"sigmoid", "mul"}),
    "residual": (lambda x: x + F.relu(x), {"relu", "add"}),
    "scaled": (lambda x: F.relu(2 * x), {"mul", "relu"}),
    "subtracted": (lambda x: F.relu(1 - x.clone()), {"sub", "relu"}),
    "square": (lambda x: x.square(), {"square"}),
    "frozen": (lambda x: F.relu(FROZEN(x)), {"mul", "add", "relu"}),
    "frozen module": (torchvision.ops.FrozenBatchNorm2d(4), {"mul", "add"}),
    "nothing": (lambda x: x, set()),
    "pooled": (lambda x: F.max_pool2d(x.contiguous(), 2), set()),
    "gated": (lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(), set()),
}


@pytest.mark.slow
@pytest.mark.parametrize("between", NOT_FOLLOWED)
@pytest.mark.parametrize("form", ["traced", "hooks", "exported", "exported, hooks"])
def test_operations_after_the_tapped_activation_are_named(between, form, caplog):
    say_unrecognized.cache_clear()
    function, names = NOT_FOLLOWED[between]
    module = quiet(Between(function))
    if "exported" in form:
        module = read_exported(program(exported(module)), SIZE)
    (first, *_) = (Hooked(module) if "hooks" in form else form_of(module)).describe(SIZE)
    assert first.signed
    operation_lists = re.findall(r"the activation of first is taken before ([\w, ]+):", caplog.text)
    assert [set(each.split(", ")) for each in operation_lists] == ([names] if names else [])
    assert caplog.text.count("is taken before") == len(operation_lists)


def test_operations_with_other_inputs_belong_to_no_layer(caplog):
    say_unrecognized.cache_clear()
    module = quiet(Residual())
    for form in (Traced(trace(module)), Hooked(module)):
        assert [layer.signed for layer in form.describe(SIZE)] == [False, False, True, True]
    assert "is taken before" not in caplog.text


def test_in_place_change_of_a_view_is_refused_with_a_working_remedy():
    class Halved(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            x = self.first(x)
            x[:, :2].relu_()
            return self.last(x.mean((2, 3)))

    module = quiet(Halved())
    with pytest.raises(UserError, match=r"on views.*\)\.run_decompositions\(\{\}\), path\)"):
        read_exported(program(exported(module)), SIZE)
    assert len(analysed_alike(module, decomposed=True)) == 2
