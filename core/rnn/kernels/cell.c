/* Cells: checking, packing, freeing. How they run is in sweep_forward.c and sweep_back.c. */
#include "core/rnn/kernels/cell.h"

#include <stdlib.h>
#include <string.h>

#include "core/rnn/kernels/forms.h"

enum { CELL_SIZE_MAX = 65536 };

static const struct {
    size_t gates, slots, width;
} kinds[] = {
    [LAM_CELL_ELMAN] = {1, 1, 4},
    [LAM_CELL_LSTM] = {4, 4, 1},
    [LAM_CELL_GRU] = {3, 4, 1},
    [LAM_CELL_LIGHT] = {2, 2, 2},
};

size_t lam_cell_gates(lam_cell_kind kind)
{
    return kinds[kind].gates;
}

static lam_status check(const lam_cell_spec *spec, const lam_cell_weights *weights, lam_error *err)
{
    if ((unsigned)spec->kind >= sizeof kinds / sizeof kinds[0])
        return lam_fail(err, LAM_E_INVALID, "unknown cell kind %d", (int)spec->kind);
    if (spec->input == 0 || spec->hidden == 0 || spec->input > CELL_SIZE_MAX || spec->hidden > CELL_SIZE_MAX)
        return lam_fail(err, LAM_E_INVALID,
                        "a cell of input %zu and hidden %zu is not possible: sizes are 1 to %d", spec->input,
                        spec->hidden, CELL_SIZE_MAX);
    if ((unsigned)spec->activation > LAM_CELL_SOFTMAX)
        return lam_fail(err, LAM_E_INVALID, "unknown cell activation %d", (int)spec->activation);
    if (spec->activation != LAM_CELL_TANH && spec->kind != LAM_CELL_ELMAN)
        return lam_fail(err, LAM_E_INVALID, "only an Elman cell has a choice of activation");
    if (spec->reset_before && spec->kind != LAM_CELL_GRU)
        return lam_fail(err, LAM_E_INVALID, "reset_before is an option of the GRU only");
    if (spec->peephole && spec->kind != LAM_CELL_LSTM)
        return lam_fail(err, LAM_E_INVALID, "peepholes are an option of the LSTM only");
    if (spec->trainable && spec->bf16)
        return lam_fail(err, LAM_E_INVALID, "a cell with bf16 products is for inference only");
    if (!weights->w_x || (!weights->w_h && spec->kind != LAM_CELL_LIGHT) ||
        (!weights->peephole && spec->peephole))
        return lam_fail(err, LAM_E_INVALID, "weights of the cell are missing");
    return LAM_OK;
}

/* Where bfloat16 is wanted but not to be had, float32. */
static const lam_forms *form_of(const lam_cell_spec *spec)
{
    const lam_forms *bf16 = spec->bf16 && !spec->reset_before ? lam_forms_get_bf16() : NULL;
    return bf16 ? bf16 : lam_forms_get();
}

/* Inputs of a product as the form packs them: floats, or pairs. */
static size_t packed_depth(const lam_cell *cell, size_t inputs)
{
    return cell->forms->bf16 ? (inputs + 1) / 2 : inputs;
}

static void fill(const lam_cell *cell, const lam_packed *packed, const float *w, size_t inputs)
{
    lam_pack_source source = {w, inputs, 1};
    if (cell->forms->bf16)
        lam_packed_fill_bf16(packed, cell->forms->lanes, inputs, source);
    else
        lam_packed_fill(packed, cell->forms->lanes, 0, inputs, source);
}

/* The panels of W_h, forward and back. */
static lam_status init_recurrent(lam_cell *cell, lam_error *err)
{
    size_t lanes = cell->forms->lanes, hidden = cell->spec.hidden, w = cell->padded;
    bool split = cell->spec.reset_before, back = cell->spec.trainable;
    size_t gates = split ? 2 : cell->gates;
    lam_status status = lam_packed_init(&cell->h, lanes, gates, hidden, packed_depth(cell, hidden),
                                        split ? 2 : kinds[cell->spec.kind].width, err);
    if (status == LAM_OK && split)
        status = lam_packed_init(&cell->h_n, lanes, 1, hidden, hidden, cell->forms->product_width, err);
    if (status == LAM_OK && back)
        status = lam_packed_init(&cell->h_back, lanes, 1, hidden, gates * w, cell->forms->product_width, err);
    if (status == LAM_OK && back && split)
        status = lam_packed_init(&cell->h_n_back, lanes, 1, hidden, w, cell->forms->product_width, err);
    return status;
}

static lam_status init_arrays(lam_cell *cell, lam_error *err)
{
    const lam_cell_spec *spec = &cell->spec;
    cell->bias = lam_floats(cell->slots * cell->padded);
    cell->input_bias = lam_floats(cell->gates * spec->hidden);
    cell->peephole = lam_floats(3 * cell->padded);
    if (!cell->bias || !cell->input_bias || !cell->peephole)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a cell of input %zu and hidden %zu",
                        spec->input, spec->hidden);
    return LAM_OK;
}

lam_status lam_cell_create(const lam_cell_spec *spec, const lam_cell_weights *weights, lam_cell **cell,
                           lam_error *err)
{
    lam_status status = check(spec, weights, err);
    if (status != LAM_OK)
        return status;
    lam_cell *made = calloc(1, sizeof *made);
    if (!made)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a cell");
    made->spec = *spec;
    made->forms = form_of(spec);
    made->gates = kinds[spec->kind].gates;
    made->slots = spec->reset_before ? 3 : kinds[spec->kind].slots;
    made->padded = lam_round_up(spec->hidden, made->forms->lanes);
    status = lam_packed_init(&made->x, made->forms->lanes, made->gates, spec->hidden,
                             packed_depth(made, spec->input), kinds[spec->kind].width, err);
    if (status == LAM_OK && spec->kind != LAM_CELL_LIGHT)
        status = init_recurrent(made, err);
    if (status == LAM_OK && spec->trainable)
        status = lam_packed_init(&made->x_back, made->forms->lanes, 1, spec->input,
                                 made->gates * made->padded, made->forms->product_width, err);
    if (status == LAM_OK)
        status = init_arrays(made, err);
    if (status != LAM_OK) {
        lam_cell_free(made);
        return status;
    }
    lam_cell_update(made, weights);
    *cell = made;
    return LAM_OK;
}

void lam_cell_free(lam_cell *cell)
{
    if (!cell)
        return;
    lam_packed_done(&cell->x);
    lam_packed_done(&cell->h);
    lam_packed_done(&cell->h_n);
    lam_packed_done(&cell->h_back);
    lam_packed_done(&cell->h_n_back);
    lam_packed_done(&cell->x_back);
    free(cell->bias);
    free(cell->input_bias);
    free(cell->peephole);
    free(cell);
}

/* Whether gate's b_h must stay apart from its b_x: the GRU's candidate multiplies it with r. */
static bool bias_apart(const lam_cell *cell, size_t gate)
{
    return cell->spec.kind == LAM_CELL_GRU && !cell->spec.reset_before && gate == 2;
}

static void fill_bias(lam_cell *cell, const lam_cell_weights *weights)
{
    size_t hidden = cell->spec.hidden;
    for (size_t gate = 0; gate < cell->gates; gate++) {
        bool apart = bias_apart(cell, gate);
        for (size_t unit = 0; unit < hidden; unit++) {
            size_t i = gate * hidden + unit;
            float bx = weights->b_x ? weights->b_x[i] : 0.0f, bh = weights->b_h ? weights->b_h[i] : 0.0f;
            cell->input_bias[i] = apart ? bx : bx + bh;
            cell->bias[gate * cell->padded + unit] = cell->input_bias[i];
            if (apart)
                cell->bias[3 * cell->padded + unit] = bh;
        }
    }
}

/* W_hᵀ and W_xᵀ over the gradient columns of the trace: the inputs of a gate are the trace unit it has there.
 */
static void fill_back(lam_cell *cell, const lam_cell_weights *weights)
{
    const lam_trace_columns *columns = lam_trace_columns_of(&cell->spec);
    size_t lanes = cell->forms->lanes, hidden = cell->spec.hidden, input = cell->spec.input;
    size_t w = cell->padded;
    for (size_t gate = 0; gate < cell->gates; gate++)
        lam_packed_fill(&cell->x_back, lanes, columns->x[gate] * w, hidden,
                        (lam_pack_source){weights->w_x + gate * hidden * input, 1, input});
    for (size_t gate = 0; gate < columns->h_count; gate++)
        lam_packed_fill(&cell->h_back, lanes, (columns->h[gate] - columns->h_first) * w, hidden,
                        (lam_pack_source){weights->w_h + gate * hidden * hidden, 1, hidden});
    if (cell->spec.reset_before)
        lam_packed_fill(&cell->h_n_back, lanes, 0, hidden,
                        (lam_pack_source){weights->w_h + 2 * hidden * hidden, 1, hidden});
}

void lam_cell_update(lam_cell *cell, const lam_cell_weights *weights)
{
    const lam_cell_spec *spec = &cell->spec;
    size_t hidden = spec->hidden;
    fill(cell, &cell->x, weights->w_x, spec->input);
    if (spec->kind != LAM_CELL_LIGHT)
        fill(cell, &cell->h, weights->w_h, hidden);
    if (spec->reset_before)
        fill(cell, &cell->h_n, weights->w_h + 2 * hidden * hidden, hidden);
    fill_bias(cell, weights);
    for (size_t i = 0; spec->peephole && i < 3; i++)
        memcpy(cell->peephole + i * cell->padded, weights->peephole + i * hidden, hidden * sizeof(float));
    if (spec->trainable)
        fill_back(cell, weights);
}

const lam_cell_spec *lam_cell_get_spec(const lam_cell *cell)
{
    return &cell->spec;
}

const float *lam_cell_get_input_bias(const lam_cell *cell)
{
    return cell->input_bias;
}

const lam_trace_columns *lam_trace_columns_of(const lam_cell_spec *spec)
{
    static const lam_trace_columns columns[] = {
        [LAM_CELL_ELMAN] = {{0}, {0}, {1}, 0, 1},
        [LAM_CELL_LSTM] = {{0, 1, 2, 3}, {0, 1, 2, 3}, {5, 5, 5, 5}, 0, 4},
        [LAM_CELL_GRU] = {{1, 2, 0}, {1, 2, 3}, {4, 4, 4}, 1, 3},
        [LAM_CELL_LIGHT] = {{0, 1}, {0, 1}, {0, 0}, 0, 0},
    };
    static const lam_trace_columns reset_before = {{1, 2, 0}, {1, 2, 0}, {4, 4, 3}, 1, 2};
    return spec->reset_before ? &reset_before : &columns[spec->kind];
}

size_t lam_trace_width(const lam_cell_spec *spec)
{
    static const size_t units[] = {
        [LAM_CELL_ELMAN] = 2, [LAM_CELL_LSTM] = 6, [LAM_CELL_GRU] = 5, [LAM_CELL_LIGHT] = 3};
    size_t width = units[spec->kind] * lam_round_up(spec->hidden, lam_forms_get()->lanes);
    /* Rows a multiple of 512 bytes apart would compete for the same few sets of the cache. */
    return width % 128 == 0 ? width + 16 : width;
}
