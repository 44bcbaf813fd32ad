#!/usr/bin/env python3
"""Writes import/NAME.onnx and import.safetensors: small networks as PyTorch exports them, with an input and what PyTorch
makes of it (NAME/input, NAME/output as [batch, axes..., channels], NAME/layout and so on in the metadata), and one state of a
module by its state_dict names (NAME/state/...). test_import.c runs them through the engine. Needs python3-torch and
python3-onnx; not part of the tests."""
import json
import os
import struct

import numpy as np
import onnx
import torch
from torch import nn

torch.manual_seed(3)
HERE = os.path.dirname(os.path.abspath(__file__))
tensors, metadata = {}, {}


class Slices(nn.Module):
    """The usual classifier of a series: a CNN on each slice, an LSTM over them."""

    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                                 nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.rnn = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)
        self.cnn[1].running_mean.normal_()
        self.cnn[1].running_var.uniform_(0.5, 2)

    def forward(self, x):
        n, t, c, h, w = x.shape
        f = self.cnn(x.reshape(n * t, c, h, w)).flatten(1).reshape(n, t, -1)
        y, _ = self.rnn(f)
        return torch.softmax(self.head(y.mean(1)), -1)


class LastStates(nn.Module):
    """Final states of both directions of the second of two layers, and of the last step."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        y, h = self.gru(x)
        return self.head(torch.cat([h[-2], h[-1], y[:, -1]], -1))


class Steps(nn.Module):
    """Time first; a dense layer on every step; layer norm."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(3, 7, nonlinearity="relu")
        self.norm = nn.LayerNorm(7)
        self.dense = nn.Linear(7, 4)

    def forward(self, x):
        y, _ = self.rnn(x)
        return torch.tanh(self.dense(self.norm(y)) * 0.5)


class Flat(nn.Module):
    """Flattened feature maps, groups, a residual sum, constants."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.c = nn.Conv2d(4, 4, (3, 1), padding=(1, 0), groups=4, dilation=(1, 1))
        self.pool = nn.AvgPool2d((2, 2))
        self.head = nn.Linear(4 * 4 * 3, 5)

    def forward(self, x):
        a = nn.functional.leaky_relu(self.a(x))
        y = self.pool(a + self.c(torch.relu(self.b(a)))) + 0.25
        return torch.sigmoid(self.head(torch.flatten(y, 1)))


class Signal(nn.Module):
    """A convolution along time, then an LSTM: channels and time change places."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 5, 3, stride=2, padding=1)
        self.rnn = nn.LSTM(5, 4, num_layers=2)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        y, _ = self.rnn(torch.relu(self.conv(x)).permute(2, 0, 1))
        return self.head(y[-1])


class Outline(nn.Module):
    """A small U: down, up, concatenated, a class a pixel."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 2, stride=2)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.norm = nn.InstanceNorm2d(3, affine=True)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        d = torch.relu(self.down(x))
        near = nn.functional.interpolate(d, scale_factor=2, mode="nearest")
        return self.last(torch.cat([x, self.norm(self.up(d)), near], 1))


class Volume(nn.Module):
    """Convolutions and pooling in three dimensions, then a GRU along the slices."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv3d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm3d(3)
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.b = nn.Conv3d(3, 4, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        self.average = nn.AvgPool3d((2, 1, 1))
        self.rnn = nn.GRU(4, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 2)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        a = self.pool(torch.relu(self.norm(self.a(x))))
        b = self.average(nn.functional.leaky_relu(self.b(a)))
        y, _ = self.rnn(b.amax((3, 4)).permute(0, 2, 1))
        return torch.softmax(self.head(y[:, 0]), -1)


class Arithmetic(nn.Module):
    """Normalisation that no convolution absorbs, parts of the channels, constants on either side."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.norm.weight.data.normal_()
        self.norm.bias.data.normal_()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.pool = nn.AdaptiveMaxPool2d(1)

    def forward(self, x):
        a, b = self.norm(torch.relu(x)).chunk(2, 1)
        y = torch.tanh(self.conv((a - 0.25) / 2 + b * 1.5))
        return self.pool(y).flatten(1)


def channels_last(layout, array):
    """From `layout` ("NTCHW") to N, the axes, C."""
    if "C" not in layout:
        array, layout = array[..., None], layout + "C"
    order = [layout.index("N")] + [i for i, c in enumerate(layout) if c not in "NC"] + [layout.index("C")]
    return np.ascontiguousarray(array.transpose(order))


def add(name, module, shape, layout, out_layout, opset=13, dynamic=False):
    module.eval()
    x = torch.randn(*shape)
    with torch.no_grad():
        y = module(x)
    path = os.path.join(HERE, "import", name + ".onnx")
    axes = {"x": {layout.index("N"): "batch"}} if dynamic else None
    torch.onnx.export(module, x, path, opset_version=opset, input_names=["x"], output_names=["y"], dynamic_axes=axes)
    tensors[name + "/input"] = channels_last(layout, x.numpy())
    tensors[name + "/output"] = channels_last(out_layout, y.numpy())
    metadata[name + "/layout"] = layout
    return module


def add_nodes(name, nodes, shape, reference, out_layout, constants=()):
    """Operators that PyTorch does not write, or no longer."""
    x = torch.randn(*shape)
    y = reference(x)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([onnx.helper.make_node(*args, **options) for *args, options in nodes], name,
                                   [value("x", onnx.TensorProto.FLOAT, shape)],
                                   [value("y", onnx.TensorProto.FLOAT, y.shape)], list(constants))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 9)])
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(HERE, "import", name + ".onnx"))
    tensors[name + "/input"] = channels_last("NCHW", x.numpy())
    tensors[name + "/output"] = channels_last(out_layout, y.numpy())
    metadata[name + "/layout"] = "NCHW"


def write(path):
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, array in sorted(tensors.items()):
        data = np.ascontiguousarray(array, dtype=np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        blobs.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


slices = add("slices", Slices(), (2, 5, 1, 8, 12), "NTCHW", "NC", dynamic=True)
add("last_states", LastStates(), (2, 6, 3), "NTC", "NC")
add("steps", Steps(), (6, 2, 3), "TNC", "TNC", opset=17)
add("flat", Flat(), (2, 2, 8, 6), "NCHW", "NC")
add("signal", Signal(), (2, 3, 9), "NCT", "NC", dynamic=True)
add("outline", Outline(), (1, 1, 6, 8), "NCHW", "NCHW")
add("volume", Volume(), (2, 1, 6, 8, 8), "NCDHW", "NC")
add("arithmetic", Arithmetic(), (2, 4, 5, 6), "NCHW", "NC")
add_nodes("older", [
    ("Identity", ["x"], ["a"], {}), ("Dropout", ["a"], ["b"], {"ratio": 0.5}), ("Tanh", ["b"], ["d"], {}),
    ("Relu", ["b"], ["c"], {}), ("Sum", ["b", "c", "d"], ["e"], {}), ("Upsample", ["e", "scales"], ["f"], {"mode": "nearest"}),
    ("Cast", ["f"], ["y"], {"to": onnx.TensorProto.FLOAT}),
], (2, 2, 3, 4), lambda x: nn.functional.interpolate(x + torch.relu(x) + torch.tanh(x), scale_factor=2), "NCHW",
    [onnx.helper.make_tensor("scales", onnx.TensorProto.FLOAT, [4], [1, 1, 2, 2])])
add_nodes("parts", [
    ("Split", ["x"], ["a", "b"], {"axis": 1, "split": [1, 2]}), ("Concat", ["b", "a"], ["c"], {"axis": 1}),
    ("GlobalMaxPool", ["c"], ["d"], {}), ("Flatten", ["d"], ["y"], {}),
], (2, 3, 3, 4), lambda x: torch.cat([x[:, 1:], x[:, :1]], 1).amax((2, 3)), "NC")
for key, value in slices.state_dict().items():
    if value.dim():
        tensors["slices/state/" + key] = value.numpy()
write(os.path.join(HERE, "import.safetensors"))
