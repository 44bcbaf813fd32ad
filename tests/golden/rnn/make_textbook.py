#!/usr/bin/env python3
"""Writes textbook.csv: the losses of the first 100 steps of LSTM(64) -> Dense(64, relu) -> Dense(3, softmax) with Adam and
cross-entropy in PyTorch, batch 32, float32. Data and initial weights are formulas, which test_textbook.c has too. Needs
python3-torch; not part of the tests."""
import torch

SAMPLES, STEPS, FEATURES, UNITS, CLASSES, BATCH = 320, 12, 8, 64, 3, 32


def hashed(numbers):
    """24 bits of a multiplicative hash, as -1 ... 1."""
    return ((numbers * 2654435761) % 2**32 // 256).double().div(2**23).sub(1)


def weights(index, shape):
    count = int(torch.tensor(shape).prod())
    return (hashed(torch.arange(count) + index * 1000003) * 0.125).float().reshape(shape)


def data():
    n, t, f = torch.meshgrid(torch.arange(SAMPLES), torch.arange(STEPS), torch.arange(FEATURES), indexing="ij")
    label = (n * 31 + t // 4) % CLASSES
    x = hashed((n * STEPS + t) * FEATURES + f + 77) + 0.5 * (f % CLASSES == label)
    return x.float(), label[:, :, 0]


lstm = torch.nn.LSTM(FEATURES, UNITS, batch_first=True)
hidden = torch.nn.Linear(UNITS, 64)
head = torch.nn.Linear(64, CLASSES)
parameters = [*lstm.parameters(), *hidden.parameters(), *head.parameters()]
for i, p in enumerate(parameters):
    p.data = weights(i, p.shape)
optimiser = torch.optim.Adam(parameters, lr=1e-3)
x, labels = data()
torch.set_num_threads(1)
with open(__file__.replace("make_textbook.py", "textbook.csv"), "w") as out:
    for step in range(100):
        part = slice(step * BATCH % SAMPLES, step * BATCH % SAMPLES + BATCH)
        y = head(torch.relu(hidden(lstm(x[part])[0])))
        loss = torch.nn.functional.cross_entropy(y.reshape(-1, CLASSES), labels[part].reshape(-1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        out.write("%.9g\n" % loss.item())
