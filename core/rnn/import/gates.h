/* Recurrent weights of other frameworks in our order of gates (LSTM i f g o, GRU r z n). Internal to
 * core/rnn/import. */
#ifndef LAMINA_RNN_IMPORT_GATES_H
#define LAMINA_RNN_IMPORT_GATES_H

#include <stddef.h>
#include <stdint.h>

/* order[g] is where our gate g stands in the other framework. */
typedef struct lam_gate_order {
    const char *cell; /* our name: "lstm" */
    int gates;
    int onnx[4], keras[4];
} lam_gate_order;

static const lam_gate_order lam_gate_orders[] = {
    {"lstm", 4, {0, 2, 3, 1}, {0, 1, 2, 3}}, /* ONNX i o f c, Keras i f c o */
    {"gru", 3, {1, 0, 2}, {1, 0, 2}},        /* z r h */
    {"elman", 1, {0}, {0}},
};

/* out [gates × hidden, columns] from `in`, whose rows (of gates × hidden) and columns are so far apart.
 * `column[c]` (or NULL: c) is where its column c goes. */
static inline void lam_gates_copy(const int *order, int gates, int64_t hidden, int64_t columns,
                                  const float *in, int64_t row_stride, int64_t column_stride,
                                  const int64_t *column, float *out)
{
    for (int64_t g = 0; g < gates; g++)
        for (int64_t h = 0; h < hidden; h++)
            for (int64_t c = 0; c < columns; c++)
                out[(g * hidden + h) * columns + (column ? column[c] : c)] =
                    in[(order[g] * hidden + h) * row_stride + c * column_stride];
}

#endif
