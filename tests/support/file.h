#ifndef FILE_H
#define FILE_H

/* The whole of a text file of less than a megabyte, which the caller frees; the test fails when it cannot be read. */
char *file_read(const char *path);

#endif
