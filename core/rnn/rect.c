#include "core/rnn/rect.h"

#include <math.h>

/* One axis of two boxes: a from a0 to a1, b from b0 to b1. */
struct overlap {
    double both, hull;                /* length shared, length of the common hull */
    double both_by_low, both_by_high; /* derivatives by a0 and a1 */
    double hull_by_low, hull_by_high;
};

static struct overlap overlap_of(double a0, double a1, double b0, double b1)
{
    struct overlap o = {.both = fmin(a1, b1) - fmax(a0, b0), .hull = fmax(a1, b1) - fmin(a0, b0)};
    if (o.both <= 0)
        o.both = 0;
    o.both_by_low = o.both > 0 && a0 > b0 ? -1 : 0;
    o.both_by_high = o.both > 0 && a1 < b1 ? 1 : 0;
    o.hull_by_low = a0 < b0 ? -1 : 0;
    o.hull_by_high = a1 > b1 ? 1 : 0;
    return o;
}

static struct overlap horizontal(const lam_rect *a, const lam_rect *b)
{
    return overlap_of(a->x, (double)a->x + a->width, b->x, (double)b->x + b->width);
}

static struct overlap vertical(const lam_rect *a, const lam_rect *b)
{
    return overlap_of(a->y, (double)a->y + a->height, b->y, (double)b->y + b->height);
}

static double area(const lam_rect *box)
{
    return (double)box->width * box->height;
}

double lam_rect_iou(const lam_rect *a, const lam_rect *b)
{
    double both = horizontal(a, b).both * vertical(a, b).both, all = area(a) + area(b) - both;
    return all > 0 ? both / all : 0;
}

double lam_rect_giou(const lam_rect *a, const lam_rect *b, double gradient[4])
{
    struct overlap h = horizontal(a, b), v = vertical(a, b);
    double both = h.both * v.both, all = area(a) + area(b) - both, hull = h.hull * v.hull;
    /* By each side: of the intersection, of a's area, of the hull. */
    double d_both[4] = {h.both_by_low * v.both, v.both_by_low * h.both, h.both_by_high * v.both,
                        v.both_by_high * h.both};
    double d_area[4] = {-a->height, -a->width, a->height, a->width};
    double d_hull[4] = {h.hull_by_low * v.hull, v.hull_by_low * h.hull, h.hull_by_high * v.hull,
                        v.hull_by_high * h.hull};
    for (int i = 0; i < 4 && gradient; i++) {
        double d_all = d_area[i] - d_both[i];
        gradient[i] =
            d_both[i] / all - both * d_all / (all * all) + d_all / hull - all * d_hull[i] / (hull * hull);
    }
    return both / all - 1 + all / hull;
}

lam_rect lam_rect_clip(const lam_rect *box, double width, double height)
{
    double left = fmin(fmax(box->x, 0), width), right = fmin(fmax((double)box->x + box->width, 0), width);
    double top = fmin(fmax(box->y, 0), height), bottom = fmin(fmax((double)box->y + box->height, 0), height);
    return (lam_rect){(float)left, (float)top, (float)(right - left), (float)(bottom - top)};
}
