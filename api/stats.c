#include "api/stats.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "api/routes.h"

enum { CLASSES = 6 }; /* 0: broken off, 1xx … 5xx */

typedef struct route_stats {
    atomic_uint_fast64_t requests[CLASSES];
    atomic_uint_fast64_t microseconds;
    atomic_uint_fast64_t received;
} route_stats;

struct lam_stats {
    size_t count; /* of routes, and one for what matched none */
    route_stats routes[];
};

static const char *const class_names[CLASSES] = {"broken", "1xx", "2xx", "3xx", "4xx", "5xx"};

lam_stats *lam_stats_create(void)
{
    lam_stats *stats = calloc(1, sizeof *stats + (lam_route_count + 1) * sizeof stats->routes[0]);
    if (stats)
        stats->count = lam_route_count + 1;
    return stats;
}

void lam_stats_free(lam_stats *stats)
{
    free(stats);
}

void lam_stats_add(lam_stats *stats, const lam_route *route, unsigned status, int64_t microseconds,
                   int64_t received)
{
    route_stats *one = &stats->routes[route ? (size_t)(route - lam_routes) : stats->count - 1];
    unsigned class = status / 100 < CLASSES ? status / 100 : 0;
    atomic_fetch_add_explicit(&one->requests[class], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&one->microseconds, (uint64_t)microseconds, memory_order_relaxed);
    atomic_fetch_add_explicit(&one->received, (uint64_t)received, memory_order_relaxed);
}

static void write_labels(lam_buffer *out, const char *name, size_t index)
{
    const lam_route *route = index < lam_route_count ? &lam_routes[index] : NULL;
    lam_buffer_printf(out, "%s{method=\"%s\",route=\"%s\"", name, route ? route->method : "",
                      route ? route->path : "");
}

static uint64_t total(const route_stats *one)
{
    uint64_t sum = 0;
    for (size_t class = 0; class < CLASSES; class ++)
        sum += atomic_load_explicit(&one->requests[class], memory_order_relaxed);
    return sum;
}

static void write_requests(const lam_stats *stats, lam_buffer *out)
{
    lam_buffer_append_text(out, "# HELP lamina_http_requests_total Requests by route and class of status.\n"
                                "# TYPE lamina_http_requests_total counter\n");
    for (size_t i = 0; i < stats->count; i++)
        for (size_t class = 0; class < CLASSES; class ++) {
            uint64_t count = atomic_load_explicit(&stats->routes[i].requests[class], memory_order_relaxed);
            if (count == 0)
                continue;
            write_labels(out, "lamina_http_requests_total", i);
            lam_buffer_printf(out, ",status=\"%s\"} %llu\n", class_names[class], (unsigned long long)count);
        }
}

void lam_stats_write(const lam_stats *stats, lam_buffer *out)
{
    write_requests(stats, out);
    lam_buffer_append_text(
        out, "# HELP lamina_http_request_seconds Time from the headers to the end of the answer.\n"
             "# TYPE lamina_http_request_seconds summary\n");
    for (size_t i = 0; i < stats->count; i++) {
        const route_stats *one = &stats->routes[i];
        if (total(one) == 0)
            continue;
        write_labels(out, "lamina_http_request_seconds_sum", i);
        lam_buffer_printf(out, "} %.6f\n",
                          (double)atomic_load_explicit(&one->microseconds, memory_order_relaxed) / 1e6);
        write_labels(out, "lamina_http_request_seconds_count", i);
        lam_buffer_printf(out, "} %llu\n", (unsigned long long)total(one));
    }
    lam_buffer_append_text(out, "# HELP lamina_http_received_bytes_total Bytes of request bodies.\n"
                                "# TYPE lamina_http_received_bytes_total counter\n");
    for (size_t i = 0; i < stats->count; i++) {
        uint64_t bytes = atomic_load_explicit(&stats->routes[i].received, memory_order_relaxed);
        if (bytes == 0)
            continue;
        write_labels(out, "lamina_http_received_bytes_total", i);
        lam_buffer_printf(out, "} %llu\n", (unsigned long long)bytes);
    }
}
