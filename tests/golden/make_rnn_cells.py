#!/usr/bin/env python3
"""make_rnn_cells.py OUT: PyTorch's bidirectional RNN, LSTM and GRU on a tiny input, forward and backward, as the
golden file rnn_cells.bin of tests/unit/rnn/kernels/test_golden_cells.c.

Little-endian float32 and int32. For each case: int32 kind (0 RNN tanh, 1 RNN relu, 2 LSTM, 3 GRU), T, B, I, H; then
x [T,B,I], h0 [2,B,H], c0 [2,B,H] (LSTM), then for each direction w_ih, w_hh, b_ih, b_hh, then y [T,B,2H],
h_n [2,B,H], c_n (LSTM), dy [T,B,2H], dx, and for each direction the gradients of w_ih, w_hh, b_ih, b_hh, for the loss
sum(y·dy). Made with PyTorch 1.13.1."""
import sys

import numpy as np
import torch

T, B, I, H = 6, 3, 5, 7
torch.manual_seed(2024)
with open(sys.argv[1], "wb") as out:

    def put(*tensors):
        for t in tensors:
            out.write(t.detach().numpy().astype("<f4").tobytes())

    for kind, (make, options) in enumerate(
        [
            (torch.nn.RNN, {"nonlinearity": "tanh"}),
            (torch.nn.RNN, {"nonlinearity": "relu"}),
            (torch.nn.LSTM, {}),
            (torch.nn.GRU, {}),
        ]
    ):
        layer = make(I, H, bidirectional=True, **options)
        x = torch.randn(T, B, I, requires_grad=True)
        h0, c0, dy = torch.randn(2, B, H), torch.randn(2, B, H), torch.randn(T, B, 2 * H)
        lstm = make is torch.nn.LSTM
        y, last = layer(x, (h0, c0) if lstm else h0)
        (y * dy).sum().backward()
        out.write(np.array([kind, T, B, I, H], "<i4").tobytes())
        put(x, h0, *([c0] if lstm else []), *layer.parameters())
        put(y, *(last if lstm else [last]), dy, x.grad, *[p.grad for p in layer.parameters()])
