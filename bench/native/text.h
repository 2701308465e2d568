/*
 * The text that the stand-in sends and the generator expects: token n of an answer, as text and as the inside of a JSON
 * string. Every eighth token is a number, so a piece that is missing, repeated or misplaced is detected soon. About one
 * token in ten has an escape or a character of several bytes, as in models' answers.
 */
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include <stdio.h>
#include <string.h>

#define MAX_TOKEN 32
#define MAX_TOKENS 100000

struct token { const char *text, *json; };

static const char *const WORDS[] = {
  " the", " run", " of", " an", " agent", "ing", " stream", ",", " and", " resumes", " where", " it", " left", " off", ".", " to"
};

static const struct token SPECIAL[] = {
  { ".\n\n", ".\\n\\n" },
  { " \"so\"", " \\\"so\\\"" },
  { " caf\xc3\xa9", " caf\xc3\xa9" },
  { " na\xc3\xafve", " na\\u00efve" },
  { " \xf0\x9f\x9a\x82", " \xf0\x9f\x9a\x82" },
  { " \xf0\x9f\x9a\x80", " \\ud83d\\ude80" }
};

/* Copies token n to `out`, which has space for MAX_TOKEN bytes, and returns its length. */
static int put_token(int n, int as_json, char *out) {
  if (n % 8 == 7) return sprintf(out, " %d", n);
  const char *from = WORDS[(n * 5 + n / 16) % 16];
  if (n % 11 == 5) {
    const struct token *special = &SPECIAL[n / 11 % 6];
    from = as_json ? special->json : special->text;
  }
  strcpy(out, from);
  return (int)strlen(out);
}

#endif
