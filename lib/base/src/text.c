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

/* RFC 3629, table of well-formed sequences. */
size_t text_utf8_prefix(const void *data, size_t len)
{
    const unsigned char *s = data;
    size_t i = 0;
    while (i < len) {
        unsigned char c = s[i];
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 9;
        if (c == 0 || more == 9 || len - i <= more)
            return i;
        for (size_t k = 1; k <= more; k++) {
            if ((s[i + k] & 0xc0) != 0x80)
                return i;
        }
        if ((c == 0xe0 && s[i + 1] < 0xa0) || (c == 0xed && s[i + 1] > 0x9f) || (c == 0xf0 && s[i + 1] < 0x90) ||
            (c == 0xf4 && s[i + 1] > 0x8f))
            return i;
        i += more + 1;
    }
    return i;
}

bool text_is_utf8(const char *text)
{
    size_t len = strlen(text);
    return text_utf8_prefix(text, len) == len;
}
