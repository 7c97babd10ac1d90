#include "base/text.h"

#include <stdio.h>
#include <string.h>

static size_t sequence_len(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
}

/* Takes away the last character when its bytes are not all there. */
static void drop_half(char *text)
{
    size_t len = strlen(text), back = 0;
    while (back < len && back < 3 && ((unsigned char)text[len - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back < len && sequence_len((unsigned char)text[len - 1 - back]) > back + 1)
        text[len - 1 - back] = '\0';
}

void text_format(char *out, size_t size, const char *format, va_list args)
{
    int len = vsnprintf(out, size, format, args);
    if (len < 0)
        out[0] = '\0';
    else if ((size_t)len >= size)
        drop_half(out);
}
