/* The distribution of a pixel: probabilities sum to 1, the gradient agrees with differences, what is drawn
 * follows the probabilities. */
#include <math.h>

#include "core/base/cleanup.h"
#include "core/rnn/logistic.h"
#include "tests/unit/unit.h"

enum { K = 4, SCORES = 3 * K };

static void fill(float *scores, uint64_t key, float spread)
{
    lam_random random = lam_random_stream(key, 1, 2);
    for (int i = 0; i < SCORES; i++)
        scores[i] = spread * lam_random_normal(&random);
}

static void test_sum(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 200; key++) {
        float scores[SCORES];
        double p[LAM_LOGISTIC_LEVELS], sum = 0;
        fill(scores, key, key % 2 ? 1 : 6); /* the wide ones reach the limits of the scale */
        lam_logistic_probabilities(K, scores, p);
        for (int i = 0; i < LAM_LOGISTIC_LEVELS; i++) {
            assert_true(p[i] >= 0);
            sum += p[i];
        }
        assert_true(fabs(sum - 1) < 1e-9);
    }
}

/* One component far from the level: the logarithm stays exact where the mass itself is nothing. */
static void test_tail(void **state)
{
    float scores[3] = {0, -1, -5}, gradient[3];
    (void)state;
    double scale = exp(-7.5), nll = lam_logistic_nll(1, scores, 200, 1, gradient);
    double distance = (200 / 127.5 - 1.0 / 255) / scale; /* to the nearer edge of the bin */
    assert_true(fabs(nll - distance + log(-expm1(-2.0 / 255 / scale))) < 1e-6 * nll);
    assert_true(isfinite(gradient[1]) && gradient[1] < -1000);
    scores[0] = NAN;
    assert_true(isnan(lam_logistic_nll(1, scores, 200, 1, gradient)));
}

static void test_gradient(void **state)
{
    static const int levels[] = {0, 1, 100, 128, 254, 255};
    (void)state;
    for (uint64_t key = 0; key < 10; key++)
        for (size_t l = 0; l < LAM_COUNT(levels); l++) {
            float scores[SCORES], gradient[SCORES];
            fill(scores, key, 1);
            lam_logistic_nll(K, scores, levels[l], 3, gradient);
            for (int i = 0; i < SCORES; i++) {
                float at = scores[i], step = 1.0f / 1024;
                scores[i] = at + step;
                double above = lam_logistic_nll(K, scores, levels[l], 0, NULL);
                scores[i] = at - step;
                double below = lam_logistic_nll(K, scores, levels[l], 0, NULL);
                scores[i] = at;
                double slope = 3 * (above - below) / (2 * (double)step);
                assert_true(fabs(slope - gradient[i]) <= 1e-3 + 1e-3 * fabs(slope));
            }
        }
}

/* Frequencies of 200000 draws against the probabilities: within five deviations, each level. */
static void test_draw(void **state)
{
    enum { DRAWS = 200000 };
    float scores[SCORES];
    double p[LAM_LOGISTIC_LEVELS];
    int seen[LAM_LOGISTIC_LEVELS] = {0};
    lam_random random = lam_random_stream(5, 0, 0);
    (void)state;
    fill(scores, 3, 1);
    lam_logistic_probabilities(K, scores, p);
    for (int i = 0; i < DRAWS; i++)
        seen[lam_logistic_draw(K, scores, 1, &random)]++;
    for (int i = 0; i < LAM_LOGISTIC_LEVELS; i++)
        assert_true(fabs(seen[i] - DRAWS * p[i]) <= 5 * sqrt(DRAWS * p[i] * (1 - p[i])) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
