#include "dicom/canvas.h"

#include <png.h>
#include <stdbool.h>
#include <stdio.h> /* before jpeglib.h, which needs FILE */
#include <stdlib.h>

#include <jpeglib.h>
#include <string.h>

#include "dicom/glyphs.h"

enum { MAX_SIDE = 16384 };

lam_status lam_canvas_init(lam_canvas *canvas, int width, int height, lam_error *err)
{
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
        return lam_fail(err, LAM_E_LIMIT, "a picture of %d×%d pixels", width, height);
    uint8_t *rgb = calloc((size_t)width * (size_t)height, 3);
    if (!rgb)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a picture of %d×%d pixels", width, height);
    *canvas = (lam_canvas){width, height, rgb};
    return LAM_OK;
}

void lam_canvas_done(lam_canvas *canvas)
{
    free(canvas->rgb);
    canvas->rgb = NULL;
}

void lam_canvas_set(lam_canvas *canvas, int x, int y, const uint8_t rgb[3])
{
    if (x >= 0 && y >= 0 && x < canvas->width && y < canvas->height)
        memcpy(canvas->rgb + 3 * ((size_t)y * (size_t)canvas->width + (size_t)x), rgb, 3);
}

void lam_canvas_fill(lam_canvas *canvas, int x, int y, int width, int height, const uint8_t rgb[3])
{
    for (int j = 0; j < height; j++)
        for (int i = 0; i < width; i++)
            lam_canvas_set(canvas, x + i, y + j, rgb);
}

int lam_canvas_text(lam_canvas *canvas, int x, int y, int scale, const uint8_t rgb[3], const char *text)
{
    for (; *text; text++, x += (LAM_GLYPH_WIDTH + 1) * scale) {
        const uint8_t *rows = lam_glyph_rows(*text);
        for (int j = 0; j < LAM_GLYPH_HEIGHT; j++)
            for (int i = 0; i < LAM_GLYPH_WIDTH; i++)
                if (rows[j] >> (LAM_GLYPH_WIDTH - 1 - i) & 1)
                    lam_canvas_fill(canvas, x + i * scale, y + j * scale, scale, scale, rgb);
    }
    return x;
}

int lam_canvas_text_width(const char *text, int scale)
{
    return (int)strlen(text) * (LAM_GLYPH_WIDTH + 1) * scale;
}

static void append(png_structp png, png_bytep bytes, png_size_t length)
{
    if (lam_buffer_append(png_get_io_ptr(png), bytes, length) != LAM_OK)
        png_error(png, "buffer is full");
}

static void flush(png_structp png)
{
    (void)png;
}

static void be_silent(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

/* libpng leaves by longjmp when something fails; nothing here owns anything then but `png` and `info`. */
static bool write_rows(png_structp png, png_infop info, const lam_canvas *canvas, lam_buffer *out)
{
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, out, append, flush);
    png_set_IHDR(png, info, (png_uint_32)canvas->width, (png_uint_32)canvas->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_filter(png, 0, PNG_FILTER_SUB); /* one cheap pass: the picture is looked at once, not archived */
    png_set_compression_level(png, 1);
    png_write_info(png, info);
    for (int y = 0; y < canvas->height; y++)
        png_write_row(png, canvas->rgb + 3 * (size_t)y * (size_t)canvas->width);
    png_write_end(png, info);
    return true;
}

lam_status lam_canvas_png(const lam_canvas *canvas, lam_buffer *out, lam_error *err)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, be_silent);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool written = info && write_rows(png, info, canvas, out);
    png_destroy_write_struct(&png, &info);
    if (written)
        return LAM_OK;
    return lam_fail(err, out->status != LAM_OK ? out->status : LAM_E_NO_MEMORY, "cannot encode a picture");
}

/* ---- JPEG ---- */

typedef struct jpeg_failure {
    struct jpeg_error_mgr manager; /* first: libjpeg gives back a pointer to it */
    jmp_buf leave;
} jpeg_failure;

static void leave_jpeg(j_common_ptr info)
{
    longjmp(((jpeg_failure *)(void *)info->err)->leave, 1);
}

static void say_nothing(j_common_ptr info)
{
    (void)info;
}

/* libjpeg leaves by longjmp as well; `*memory` is freed by the caller. */
static bool compress_jpeg(const lam_canvas *canvas, int quality, unsigned char **memory,
                          unsigned long *length)
{
    struct jpeg_compress_struct info;
    jpeg_failure failure;
    info.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = leave_jpeg;
    failure.manager.output_message = say_nothing;
    if (setjmp(failure.leave)) {
        jpeg_destroy_compress(&info);
        return false;
    }
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, memory, length);
    info.image_width = (JDIMENSION)canvas->width;
    info.image_height = (JDIMENSION)canvas->height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = canvas->rgb + 3 * (size_t)info.next_scanline * (size_t)canvas->width;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return true;
}

lam_status lam_canvas_jpeg(const lam_canvas *canvas, int quality, lam_buffer *out, lam_error *err)
{
    unsigned char *memory = NULL;
    unsigned long length = 0;
    bool made = compress_jpeg(canvas, quality, &memory, &length);
    lam_status status = made ? lam_buffer_append(out, memory, length) : LAM_E_NO_MEMORY;
    free(memory);
    return status == LAM_OK ? LAM_OK : lam_fail(err, status, "cannot encode a picture");
}
