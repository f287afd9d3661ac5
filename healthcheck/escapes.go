package healthcheck

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// unescape resolves the escapes of Go strings, and \0.
func unescape(text string) ([]byte, error) {
	var out []byte
	for rest := text; rest != ""; {
		if tail, ok := strings.CutPrefix(rest, `\0`); ok && !startsOctal(tail) {
			out, rest = append(out, 0), tail
			continue
		}
		char, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return nil, fmt.Errorf("'%s' has a bad escape at '%s'", text, clip(rest, 10))
		}
		if multibyte {
			out = utf8.AppendRune(out, char)
		} else {
			out = append(out, byte(char))
		}
		rest = tail
	}
	return out, nil
}

// startsOctal reports whether the text begins with two octal digits, which
// make \0 one of Go's own escapes.
func startsOctal(text string) bool {
	return len(text) >= 2 && strings.Trim(text[:2], "01234567") == ""
}
