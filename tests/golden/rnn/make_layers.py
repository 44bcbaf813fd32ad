#!/usr/bin/env python3
"""Writes layers.safetensors: small networks, their parameters, an input, and what PyTorch makes of them in double
precision, forward and backward. test_layers.c runs each through the engine. Needs python3-torch; not part of the tests.

Per case NAME: metadata NAME = the network as JSON; NAME/input, NAME/output, NAME/d_output, NAME/d_input; for every
parameter P: NAME/p/P and NAME/g/P (its gradient); NAME/inference where inference gives something else than training.
NAME/lengths
where sequences end early. Arrays are [batch, axes..., channels]."""
import json
import math
import struct
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(1)
AXES = {1: "x", 2: "yx", 3: "zyx"}
ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: torch.softmax(x, -1),
}


def channels_first(x):
    return x.movedim(-1, 1)


def channels_last(x):
    return x.movedim(1, -1)


def per_axis(option, axes):
    return tuple(option) if isinstance(option, list) else (option,) * axes


class Network:
    """The network language, once more, on PyTorch."""

    def __init__(self, network):
        self.network = network
        self.statistics = {}
        self.inference = None
        self.lengths = None
        self.parameters = {}

    def parameter(self, name, *shape, scale=None):
        if name not in self.parameters:
            fan = shape[-1] if len(shape) > 1 else 4
            data = torch.randn(*shape, dtype=torch.float64) * (scale or 1 / math.sqrt(fan))
            self.parameters[name] = data.float().double().requires_grad_()
        return self.parameters[name]

    def __call__(self, x):
        values = {"input": x}
        last = "input"
        for layer in self.network["layers"]:
            sources = layer.get("from", last)
            inputs = [values[s] for s in ([sources] if isinstance(sources, str) else sources)]
            last = layer["name"]
            values[last] = getattr(self, layer["kind"])(layer, *inputs)
        return values[self.network.get("output", last)]

    def dense(self, o, x):
        w = self.parameter(o["name"] + ".weight", o["units"], x.shape[-1])
        b = self.parameter(o["name"] + ".bias", o["units"]) if o.get("bias", True) else None
        return ACTIVATIONS[o.get("activation", "linear")](F.linear(x, w, b))

    def conv(self, o, x):
        axes = x.dim() - 2
        kernel = per_axis(o.get("kernel", 3), axes)
        dilation = per_axis(o.get("dilation", 1), axes)
        w = self.parameter(o["name"] + ".weight", o["channels"], x.shape[-1], *kernel)
        b = self.parameter(o["name"] + ".bias", o["channels"]) if o.get("bias", True) else None
        padding = o.get("padding", 0)
        if padding == "same":
            padding = [d * (k - 1) // 2 for k, d in zip(kernel, dilation)]
        conv = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
        y = conv(channels_first(x), w, b, per_axis(o.get("stride", 1), axes), per_axis(padding, axes), dilation)
        return ACTIVATIONS[o.get("activation", "linear")](channels_last(y))

    def conv_transpose(self, o, x):
        axes = x.dim() - 2
        kernel = per_axis(o.get("kernel", 3), axes)
        w = self.parameter(o["name"] + ".weight", x.shape[-1], o["channels"], *kernel)
        b = self.parameter(o["name"] + ".bias", o["channels"])
        conv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
        options = [per_axis(o.get(k, d), axes) for k, d in (("stride", 1), ("padding", 0), ("output_padding", 0))]
        y = conv(channels_first(x), w, b, *options, 1, per_axis(o.get("dilation", 1), axes))
        return ACTIVATIONS[o.get("activation", "linear")](channels_last(y))

    def pool(self, o, x):
        axes = x.dim() - 2
        kernel = per_axis(o.get("kernel", 2), axes)
        stride, padding = per_axis(o.get("stride", list(kernel)), axes), per_axis(o.get("padding", 0), axes)
        if o.get("function", "max") == "max":
            y = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[axes - 1](channels_first(x), kernel, stride, padding)
        elif axes == 1:
            y = F.avg_pool1d(channels_first(x), kernel, stride, padding, count_include_pad=False)
        else:
            pool = (F.avg_pool2d, F.avg_pool3d)[axes - 2]
            y = pool(channels_first(x), kernel, stride, padding, count_include_pad=False)
        return channels_last(y)

    def last_axes(self, o, x):
        """x with the axes in `over` as one, before the channels."""
        names = self.network["input"]["axes"]
        return x.flatten(-1 - len(o.get("over", names)), -2)

    def global_pool(self, o, x):
        x = self.last_axes(o, x)
        return x.amax(-2) if o.get("function") == "max" else x.mean(-2)

    def attention_pool(self, o, x):
        x = self.last_axes(o, x)
        w = self.parameter(o["name"] + ".weight", o["units"], x.shape[-1])
        b = self.parameter(o["name"] + ".bias", o["units"])
        q = self.parameter(o["name"] + ".query", o["units"])
        a = torch.softmax(torch.tanh(F.linear(x, w, b)) @ q, -1)
        return (a[..., None] * x).sum(-2)

    def batch_norm(self, o, x):
        shape = (x.shape[-1],)
        w = self.parameter(o["name"] + ".weight", *shape)
        b = self.parameter(o["name"] + ".bias", *shape)
        mean = self.parameter(o["name"] + ".running_mean", *shape)
        variance = self.parameter(o["name"] + ".running_var", *shape)
        variance.data.abs_().add_(0.5)
        rows, e = x.flatten(0, -2), o.get("epsilon", 1e-5)
        # What the engine leaves in the gradient of a running statistic is the batch's value less its own.
        self.statistics = {mean: rows.mean(0) - mean, variance: rows.var(0) - variance}
        self.inference = (x - mean) / torch.sqrt(variance + e) * w + b
        return (x - rows.mean(0)) / torch.sqrt(rows.var(0, unbiased=False) + e) * w + b

    def instance_norm(self, o, x):
        w = self.parameter(o["name"] + ".weight", x.shape[-1])
        b = self.parameter(o["name"] + ".bias", x.shape[-1])
        rows = x.flatten(1, -2)
        mean, variance = rows.mean(1, keepdim=True), rows.var(1, unbiased=False, keepdim=True)
        return ((rows - mean) / torch.sqrt(variance + o.get("epsilon", 1e-5)) * w + b).reshape(x.shape)

    def upsample(self, o, x):
        factors = per_axis(o.get("factor", 2), x.dim() - 2)
        if o.get("method") == "linear":
            mode = ("linear", "bilinear", "trilinear")[len(factors) - 1]
            y = F.interpolate(channels_first(x), scale_factor=factors, mode=mode, align_corners=False)
            return channels_last(y)
        for axis, factor in enumerate(factors):
            x = x.repeat_interleave(factor, 1 + axis)
        return x

    def shift(self, o, x):
        names = self.network["input"]["axes"]
        axis, by = 1 + names.index(o.get("axis", names[0])), o.get("by", 1)
        gap = min(abs(by), x.shape[axis])
        zero = torch.zeros_like(x.narrow(axis, 0, gap))
        kept = x.narrow(axis, 0 if by > 0 else gap, x.shape[axis] - gap)
        return torch.cat([zero, kept] if by > 0 else [kept, zero], axis)

    def slice(self, o, x):
        names = self.network["input"]["axes"] + ["channels"]
        axis = 1 + names.index(o["axis"])
        start = o.get("start", 0) % x.shape[axis]
        y = x.narrow(axis, start, o.get("count") or x.shape[axis] - start)
        return y.squeeze(axis) if o.get("drop") else y

    def transpose(self, o, x):
        names = self.network["input"]["axes"]
        return x.permute(0, *(1 + names.index(a) for a in o["axes"]), x.dim() - 1)

    def merge(self, o, x):
        return x.flatten(-1 - o.get("count", x.dim() - 2))

    def depthwise(self, o, x):
        axes, channels = x.dim() - 2, x.shape[-1]
        kernel = per_axis(o.get("kernel", 3), axes)
        w = self.parameter(o["name"] + ".weight", channels, 1, *kernel)
        b = self.parameter(o["name"] + ".bias", channels)
        conv = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
        y = channels_last(conv(channels_first(x), w, b, padding=[k // 2 for k in kernel], groups=channels))
        return x + y if o.get("residual") else y

    def layer_norm(self, o, x):
        w = self.parameter(o["name"] + ".weight", x.shape[-1])
        b = self.parameter(o["name"] + ".bias", x.shape[-1])
        return F.layer_norm(x, (x.shape[-1],), w, b, o.get("epsilon", 1e-5))

    def activation(self, o, x):
        return ACTIVATIONS[o["function"]](x)

    def softmax(self, o, x):
        return torch.softmax(x, -1)

    def add(self, o, *xs):
        return sum(xs)

    def concat(self, o, *xs):
        return torch.cat(xs, -1)

    def depth_to_space(self, o, x):
        f, axes = o["factor"], x.dim() - 2
        sizes, c = x.shape[1:-1], x.shape[-1] // f**axes
        y = x.reshape(x.shape[0], *sizes, *(f,) * axes, c)
        order = [0] + [d for i in range(axes) for d in (1 + i, 1 + axes + i)] + [1 + 2 * axes]
        return y.permute(order).reshape(x.shape[0], *(s * f for s in sizes), c)

    def space_to_depth(self, o, x):
        f, axes = o["factor"], x.dim() - 2
        parts = [d for s in x.shape[1:-1] for d in (s // f, f)]
        y = x.reshape(x.shape[0], *parts, x.shape[-1])
        order = [0] + [1 + 2 * i for i in range(axes)] + [2 + 2 * i for i in range(axes)] + [1 + 2 * axes]
        return y.permute(order).reshape(x.shape[0], *(s // f for s in x.shape[1:-1]), -1)

    def conv_lstm(self, o, x, h=None, c=None):
        names = self.network["input"]["axes"]
        spatial, hidden, results = x.dim() - 3, o["units"], []
        count = len(o["directions"])
        kernel = per_axis(o.get("kernel", 3), spatial)
        dilation = per_axis(o.get("dilation", 1), spatial)
        weight = self.parameter(o["name"] + ".weight", count, 4 * hidden, x.shape[-1] + hidden, *kernel)
        bias = self.parameter(o["name"] + ".bias", count, 4 * hidden)
        conv = (F.conv1d, F.conv2d, F.conv3d)[spatial - 1]
        padding = [k // 2 * d for k, d in zip(kernel, dilation)]
        for d, direction in enumerate(o["directions"]):
            axis, back = 1 + names.index(direction[:-1]), direction[-1] == "-"
            frames = x.movedim(axis, 0).flip(0) if back else x.movedim(axis, 0)
            zero = torch.zeros(*frames.shape[1:-1], hidden, dtype=x.dtype)
            now, cell = (zero if s is None else s[..., d * hidden : (d + 1) * hidden] for s in (h, c))
            out = []
            for frame in frames:
                both = channels_first(torch.cat([frame, now], -1))
                z = channels_last(conv(both, weight[d], bias[d], 1, padding, dilation))
                i, f, g, q = z.chunk(4, -1)
                cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
                now = torch.sigmoid(q) * torch.tanh(cell)
                out.append(now)
            y = torch.stack(out[::-1] if back else out).movedim(0, axis)
            results.append(now if o.get("return") == "last" else y)
        return torch.cat(results, -1)

    def norm_lstm(self, o, x, h=None, c=None):
        names = self.network["input"]["axes"]
        directions = o.get("directions", [names[0] + "+"])
        count, n, results = len(directions), o["units"], []
        sizes = dict(weight_ih=(4 * n, x.shape[-1]), weight_hh=(4 * n, n), gain_ih=(4 * n,), gain_hh=(4 * n,))
        sizes.update(bias=(4 * n,), gain_c=(n,), bias_c=(n,))
        p = {key: self.parameter(o["name"] + "." + key, count, *size) for key, size in sizes.items()}
        for d, direction in enumerate(directions):
            axis, back = 1 + names.index(direction[:-1]), direction[-1] == "-"
            lines = x.movedim(axis, 0).flip(0) if back else x.movedim(axis, 0)
            zero = torch.zeros(*lines.shape[1:-1], n, dtype=x.dtype)
            now, cell = (zero if s is None else s[..., d * n : (d + 1) * n] for s in (h, c))
            out = []
            for step, value in enumerate(lines):
                before = now, cell
                norm = lambda z, gain, shift=None: F.layer_norm(z, z.shape[-1:], gain[d], shift, o.get("epsilon", 1e-5))
                z = norm(F.linear(value, p["weight_ih"][d]), p["gain_ih"])
                z = z + norm(F.linear(now, p["weight_hh"][d]), p["gain_hh"]) + p["bias"][d]
                i, f, g, q = z.chunk(4, -1)
                cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
                now = torch.sigmoid(q) * torch.tanh(norm(cell, p["gain_c"], p["bias_c"][d]))
                valid = torch.ones(now.shape[:-1] + (1,), dtype=torch.bool)
                if self.lengths is not None:
                    valid = ((len(lines) - 1 - step if back else step) < self.lengths)[:, None]
                now, cell = torch.where(valid, now, before[0]), torch.where(valid, cell, before[1])
                out.append(torch.where(valid, now, zero))
            y = torch.stack(out[::-1] if back else out).movedim(0, axis)
            results.append(now if o.get("return") == "last" else y)
        return torch.cat(results, -1)

    def sweep(self, o, x, h=None, c=None):
        gates = {"elman": 1, "lstm": 4, "gru": 3, "light": 2}[o["cell"]]
        names = self.network["input"]["axes"]
        directions = o.get("directions", [names[0] + "+"])
        count, hidden, inputs = len(directions), o["units"], x.shape[-1]
        p = {"weight_ih": self.parameter(o["name"] + ".weight_ih", count, gates * hidden, inputs)}
        if o["cell"] != "light":
            p["weight_hh"] = self.parameter(o["name"] + ".weight_hh", count, gates * hidden, hidden)
        p["bias_ih"] = self.parameter(o["name"] + ".bias_ih", count, gates * hidden)
        if o["cell"] != "light":
            p["bias_hh"] = self.parameter(o["name"] + ".bias_hh", count, gates * hidden)
        if o.get("peephole"):
            p["peephole"] = self.parameter(o["name"] + ".peephole", count, 3, hidden)
        results = []
        for d, direction in enumerate(directions):
            axis = 1 + names.index(direction[:-1])
            lines = x.movedim(axis, 0)
            if direction[-1] == "-":
                lines = lines.flip(0)
            start = [s if s is None else s[..., d * hidden : (d + 1) * hidden] for s in (h, c)]
            y, last = self.run_cell(o, lines, {k: v[d] for k, v in p.items()}, hidden, start, direction[-1] == "-")
            if o.get("return") == "last":
                results.append(last)
                continue
            results.append((y.flip(0) if direction[-1] == "-" else y).movedim(0, axis))
        return torch.cat(results, -1)

    def run_cell(self, o, lines, p, hidden, start, reverse):
        zero = torch.zeros(*lines.shape[1:-1], hidden, dtype=lines.dtype)
        h, c = (zero if s is None else s for s in start)
        out = []
        for step, x in enumerate(lines):
            before = h, c
            gx = F.linear(x, p["weight_ih"], p["bias_ih"])
            if o["cell"] == "light":
                u, z = gx.chunk(2, -1)
                h = h + torch.sigmoid(z) * (u - h)
            elif o["cell"] == "elman":
                h = ACTIVATIONS[o.get("activation", "tanh")](gx + F.linear(h, p["weight_hh"], p["bias_hh"]))
            elif o["cell"] == "lstm":
                i, f, g, q = (gx + F.linear(h, p["weight_hh"], p["bias_hh"])).chunk(4, -1)
                pi, pf, po = p["peephole"] if o.get("peephole") else (0, 0, 0)
                c = torch.sigmoid(f + pf * c) * c + torch.sigmoid(i + pi * c) * torch.tanh(g)
                h = torch.sigmoid(q + po * c) * torch.tanh(c)
            elif o.get("reset_before"):
                w, b = p["weight_hh"].chunk(3), p["bias_hh"].chunk(3)
                r, z, n = gx.chunk(3, -1)
                r = torch.sigmoid(r + F.linear(h, w[0], b[0]))
                z = torch.sigmoid(z + F.linear(h, w[1], b[1]))
                n = torch.tanh(n + F.linear(r * h, w[2], b[2]))
                h = (1 - z) * n + z * h
            else:
                r, z, n = gx.chunk(3, -1)
                hr, hz, hn = F.linear(h, p["weight_hh"], p["bias_hh"]).chunk(3, -1)
                z = torch.sigmoid(z + hz)
                h = (1 - z) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + z * h
            if self.lengths is not None:
                t = len(lines) - 1 - step if reverse else step
                valid = (t < self.lengths)[:, None]
                h, c = torch.where(valid, h, before[0]), torch.where(valid, c, before[1])
                out.append(torch.where(valid, h, zero))
            else:
                out.append(h)
        return torch.stack(out), h


def cases():
    """name, input shape, layers"""

    def one(name, shape, **layer):
        return name, shape, [dict(name="layer", **layer)]

    yield one("dense", (2, 3, 5), kind="dense", units=7)
    yield one("dense_point", (3, 4), kind="dense", units=2, bias=False)
    for activation in ACTIVATIONS:
        yield one("dense_" + activation, (1, 33, 6), kind="dense", units=5, activation=activation)
        if activation != "linear":
            yield one("activation_" + activation, (2, 7, 3), kind="activation", function=activation)
    yield one("softmax", (2, 5, 4), kind="softmax")
    yield one("conv1", (2, 9, 3), kind="conv", channels=4, kernel=3, padding="same")
    yield one("conv1_dilated", (1, 11, 2), kind="conv", channels=3, kernel=3, dilation=2, padding=1)
    yield one("conv2", (2, 6, 7, 3), kind="conv", channels=5, kernel=[3, 2], stride=[1, 2], padding=[1, 0], activation="tanh")
    yield one("conv3_stem", (1, 6, 4, 8, 1), kind="conv", channels=8, kernel=4, stride=2, padding=1)
    yield one("conv3", (1, 3, 4, 5, 2), kind="conv", channels=3, kernel=3, padding="same", bias=False)
    yield one("conv_point", (1, 1, 1, 1), kind="conv", channels=1, kernel=1)
    yield one("depthwise1", (2, 9, 5), kind="depthwise", kernel=5)
    yield one("depthwise2", (1, 4, 5, 17), kind="depthwise", kernel=[3, 1])
    yield one("depthwise3", (2, 3, 4, 5, 16), kind="depthwise", residual=True)
    yield one("depthwise_point", (1, 1, 1, 1, 1), kind="depthwise")
    yield one("layer_norm", (2, 5, 19), kind="layer_norm")
    yield one("layer_norm_rows", (3, 17, 16), kind="layer_norm", epsilon=1e-3)
    yield one("depth_to_space1", (2, 3, 6), kind="depth_to_space", factor=3)
    yield one("depth_to_space2", (2, 3, 2, 8), kind="depth_to_space", factor=2)
    yield one("depth_to_space3", (1, 2, 3, 2, 24), kind="depth_to_space", factor=2)
    yield one("space_to_depth1", (2, 6, 2), kind="space_to_depth", factor=3)
    yield one("space_to_depth2", (2, 4, 6, 3), kind="space_to_depth", factor=2)
    yield one("space_to_depth3", (1, 2, 4, 6, 2), kind="space_to_depth", factor=2)

    yield one("conv_transpose1", (2, 4, 3), kind="conv_transpose", channels=2, kernel=4, stride=2, padding=1)
    yield one("conv_transpose2", (1, 3, 4, 3), kind="conv_transpose", channels=4, kernel=3, stride=2, padding=1, output_padding=1)
    yield one("conv_transpose3", (1, 2, 3, 2, 2), kind="conv_transpose", channels=3, kernel=2, stride=2, activation="tanh")
    yield one("conv_transpose_dilated", (2, 5, 2), kind="conv_transpose", channels=3, kernel=3, dilation=2)
    for function in ("max", "average"):
        yield one("pool1_" + function, (2, 7, 3), kind="pool", function=function, kernel=3, stride=2, padding=1)
        yield one("pool2_" + function, (1, 4, 6, 2), kind="pool", function=function)
        yield one("pool3_" + function, (2, 4, 4, 2, 3), kind="pool", function=function, kernel=[2, 3, 1], stride=1)
        yield one("global_" + function, (2, 3, 4, 5), kind="global_pool", function=function)
        yield one("global_%s_x" % function, (2, 3, 4, 5), kind="global_pool", function=function, over=["x"])
    yield one("attention", (2, 6, 5), kind="attention_pool", units=4)
    yield one("attention_yx", (1, 3, 2, 4, 3), kind="attention_pool", units=5, over=["y", "x"])
    yield one("batch_norm", (3, 4, 5), kind="batch_norm")
    yield one("batch_norm3", (2, 2, 3, 2, 4), kind="batch_norm", epsilon=1e-3)
    yield one("instance_norm", (2, 3, 4, 5), kind="instance_norm")
    yield one("upsample1", (2, 3, 2), kind="upsample", factor=3)
    yield one("upsample3", (2, 2, 3, 2, 3), kind="upsample", factor=[1, 2, 3])
    yield one("transpose2", (2, 3, 4, 2), kind="transpose", axes=["x", "y"])
    yield one("transpose3", (2, 2, 3, 4, 2), kind="transpose", axes=["x", "z", "y"])
    yield one("merge", (2, 3, 4, 2), kind="merge", count=1)

    both = ["x+", "x-"]
    six = ["z+", "z-", "y+", "y-", "x+", "x-"]
    cells = {
        "elman": dict(cell="elman"),
        "elman_relu": dict(cell="elman", activation="relu"),
        "lstm": dict(cell="lstm"),
        "lstm_peephole": dict(cell="lstm", peephole=True),
        "gru": dict(cell="gru"),
        "gru_before": dict(cell="gru", reset_before=True),
        "light": dict(cell="light"),
    }
    for name, cell in cells.items():
        yield one("sweep_" + name, (3, 5, 4), kind="sweep", units=6, **cell)
        yield one("sweep_%s_both" % name, (2, 7, 3), kind="sweep", units=17, directions=both, **cell)
        yield one("sweep_%s_last" % name, (3, 4, 5), kind="sweep", units=5, directions=both, **{"return": "last"}, **cell)
        yield one("sweep_%s_point" % name, (1, 1, 1), kind="sweep", units=1, **cell)
        yield one("sweep_%s_volume" % name, (1, 3, 4, 5, 3), kind="sweep", units=3, directions=six, **cell)
    yield one("sweep_gru_wide", (9, 6, 5), kind="sweep", cell="gru", units=16, directions=both)
    yield one("sweep_lstm_wide", (9, 4, 3), kind="sweep", cell="lstm", units=32)
    yield one("sweep_rows_last", (2, 3, 4, 2), kind="sweep", cell="gru", units=3, directions=["y+"], **{"return": "last"})

    for name, cell in cells.items():
        initial = [dict(name="mean", kind="global_pool"), dict(name="h", kind="dense", units=8)]
        states = ["input", "h"]
        if cell["cell"] == "lstm":
            initial.append({"name": "c", "kind": "dense", "units": 8, "from": "mean"})
            states.append("c")
        sweep = {"name": "sweep", "kind": "sweep", "units": 4, "directions": both, "from": states, **cell}
        yield "initial_" + name, (3, 4, 5), initial + [sweep]
        yield "initial_last_" + name, (2, 3, 4), initial + [{"return": "last", **sweep}]
        yield one("lengths_" + name, (4, 6, 3), kind="sweep", units=5, directions=both, **cell)
        yield one("lengths_last_" + name, (4, 6, 3), kind="sweep", units=5, directions=both, **{"return": "last"}, **cell)

    yield "graph", (1, 4, 6, 4, 1), [
        dict(name="stem", kind="conv", channels=8, kernel=4, stride=2, padding=1),
        dict(name="norm1", kind="layer_norm"),
        dict(name="local", kind="depthwise", residual=True),
        dict(name="sweep", kind="sweep", cell="gru", units=4, directions=six),
        dict(name="mix", kind="dense", units=8),
        {"name": "seen", "kind": "add", "from": ["stem", "mix"]},
        dict(name="norm2", kind="layer_norm"),
        dict(name="widen", kind="dense", units=16, activation="relu"),
        dict(name="narrow", kind="dense", units=8),
        {"name": "out", "kind": "add", "from": ["seen", "narrow", "seen"]},
        {"name": "wide", "kind": "concat", "from": ["out", "stem", "norm1"]},
        dict(name="head", kind="dense", units=24),
        dict(name="logits", kind="depth_to_space", factor=2),
    ]

    yield one("shift", (2, 5, 3), kind="shift")
    yield one("shift_back", (2, 3, 4, 2), kind="shift", axis="y", by=-2)
    yield one("shift_out", (1, 2, 3, 4, 1), kind="shift", axis="x", by=9)
    yield "causal", (2, 3, 5, 2), [
        dict(name="above", kind="shift", axis="y"),
        dict(name="column", kind="sweep", cell="gru", units=3, directions=["y+"]),
        dict(name="row", kind="sweep", cell="gru", units=2, directions=["x+", "x-"]),
        {"name": "left", "kind": "shift", "axis": "x", "from": "input"},
        {"name": "seen", "kind": "concat", "from": ["row", "left"]},
        dict(name="out", kind="sweep", cell="lstm", units=4, directions=["x+"]),
    ]
    for axes, shape in enumerate([(2, 5, 3), (2, 3, 4, 2), (1, 2, 1, 3, 2)]):
        yield one("upsample_linear%d" % (axes + 1), shape, kind="upsample", method="linear", factor=[2, 3, 1][: axes + 1])
    for direction in ("z+", "y-", "x+"):
        yield one("conv_lstm_" + direction, (2, 3, 4, 5, 3), kind="conv_lstm", units=5, directions=[direction])
    yield one("conv_lstm1", (2, 5, 4, 2), kind="conv_lstm", units=17, kernel=5, directions=["y+", "y-"])
    yield one("conv_lstm_dilated", (1, 3, 6, 1), kind="conv_lstm", units=1, dilation=2, directions=["x-"])
    yield one("conv_lstm_point", (1, 1, 1, 1), kind="conv_lstm", units=1, kernel=1, directions=["y+"])
    yield one("conv_lstm_last", (2, 3, 4, 5, 2), kind="conv_lstm", units=3, kernel=[1, 3], directions=["z+", "z-"], **{"return": "last"})
    yield "conv_lstm_initial", (2, 3, 4, 2), [
        dict(name="mean", kind="global_pool", over=["x"]),
        dict(name="h", kind="dense", units=6),
        {"name": "c", "kind": "dense", "units": 6, "from": "mean"},
        {"name": "sweep", "kind": "conv_lstm", "units": 3, "directions": ["x+", "x-"], "from": ["input", "h", "c"]},
    ]
    yield one("norm_lstm", (3, 5, 4), kind="norm_lstm", units=6, epsilon=1e-2)
    yield one("norm_lstm_both", (2, 4, 3, 2), kind="norm_lstm", units=5, directions=["y+", "y-"], epsilon=1e-2)
    for last in ("sequence", "last"):
        yield one("lengths_norm_lstm_" + last, (4, 6, 3), kind="norm_lstm", units=5, directions=both, epsilon=1e-2, **{"return": last})
        yield "initial_norm_lstm_" + last, (3, 4, 5), [
            dict(name="mean", kind="global_pool"),
            dict(name="h", kind="dense", units=8),
            {"name": "c", "kind": "dense", "units": 8, "from": "mean"},
            {"name": "sweep", "kind": "norm_lstm", "units": 4, "directions": both, "from": ["input", "h", "c"], "return": last},
        ]
    yield one("slice_last", (2, 5, 3), kind="slice", axis="x", start=-1, count=1, drop=True)
    yield one("slice_middle", (2, 3, 5, 2), kind="slice", axis="x", start=1, count=3)
    yield one("slice_rest", (1, 3, 4, 2), kind="slice", axis="y", start=1)
    yield one("slice_channels", (2, 3, 5), kind="slice", axis="channels", start=-4, count=3)
    # the Elman network as it is written: y = g(W_hy h + b_y)
    for f, g in (("tanh", "softmax"), ("sigmoid", "sigmoid"), ("relu", "tanh"), ("linear", "relu"), ("softmax", "linear")):
        yield "elman_output_%s_%s" % (f, g), (2, 5, 3), [
            dict(name="state", kind="sweep", cell="elman", units=6, activation=f),
            dict(name="output", kind="dense", units=4, activation=g),
        ]


def build():
    tensors, metadata = {}, {}
    for name, shape, layers in cases():
        axes = len(shape) - 2
        network = {"input": {"axes": list(AXES.get(axes, "")), "channels": shape[-1]}, "layers": layers}
        if any(layer["kind"] == "merge" for layer in layers):
            network["input"]["size"] = shape[1:-1]
        net = Network(network)
        if name.startswith("lengths"):
            net.lengths = torch.tensor([6, 1, 4, 5])
            tensors[name + "/lengths"] = net.lengths
        x = torch.randn(*shape, dtype=torch.float64).float().double().requires_grad_()
        y = net(x)
        # what is stored as gradients is the derivative of what is stored as output
        torch.autograd.gradcheck(lambda x, *_: net(x), (x, *net.parameters.values()), eps=1e-6, atol=1e-6, rtol=1e-6)
        net.statistics.clear()
        y = net(x)
        dy = torch.randn(y.shape, dtype=torch.float64).float().double()
        y.backward(dy)
        metadata[name] = json.dumps(network, separators=(",", ":"))
        tensors.update({name + "/input": x, name + "/output": y, name + "/d_output": dy, name + "/d_input": x.grad})
        for key, value in net.parameters.items():
            tensors[name + "/p/" + key] = value
            tensors[name + "/g/" + key] = net.statistics.get(value, value.grad)
        if net.inference is not None:
            tensors[name + "/inference"] = net.inference
    return tensors, metadata


def write(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, value in tensors.items():
        raw = value.detach().float().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


write(sys.argv[1] if len(sys.argv) > 1 else __file__.replace("make_layers.py", "layers.safetensors"), *build())
