/* The table of one form, after all its kernels. Included once by each form file. */
#include "core/rnn/kernels/cell_back.inc.h"
#include "core/rnn/kernels/cell_forward.inc.h"
#include "core/rnn/kernels/elementwise.inc.h"
#include "core/rnn/kernels/outer.inc.h"
#include "core/rnn/kernels/spatial.inc.h"

const lam_forms FORM(lam_forms) = {
    .lanes = LANES,
    .product_width = 4,
    .product = product,
    .outer = outer,
    .step = {[LAM_CELL_ELMAN] = step_elman,
             [LAM_CELL_LSTM] = step_lstm,
             [LAM_CELL_GRU] = step_gru,
             [LAM_CELL_LIGHT] = step_light},
    .step_peephole = step_peephole,
    .step_reset_before = step_reset_before,
    .back = {[LAM_CELL_ELMAN] = back_elman,
             [LAM_CELL_LSTM] = back_lstm,
             [LAM_CELL_GRU] = back_gru,
             [LAM_CELL_LIGHT] = back_light},
    .back_peephole = back_peephole,
    .back_candidate = back_candidate,
    .back_reset = back_reset,
    .exp = map_exp,
    .tanh = map_tanh,
    .sigmoid = map_sigmoid,
    .relu = map_relu,
    .tanh_back = tanh_back,
    .sigmoid_back = sigmoid_back,
    .relu_back = relu_back,
    .axpy = axpy,
    .softmax = row_softmax,
    .log_softmax = row_log_softmax,
    .sum = row_sum,
    .dot = row_dot,
    .add_columns = add_columns,
    .norm = norm,
    .norm_back = norm_back,
    .norm_back_sums = norm_back_sums,
    .depthwise = depthwise,
    .depthwise_weights = depthwise_weights,
};
