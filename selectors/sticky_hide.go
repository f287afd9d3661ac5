package selectors

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// hide returns the header without our cookie and header field, which are none of the
// upstream's business.
func (p *Sticky) hide(header http.Header) (http.Header, bool) {
	if p.Keep {
		return header, false
	}
	lines, cut := header["Cookie"], false
	if p.Cookie != "" {
		lines, cut = withoutCookie(lines, p.Cookie)
	}
	named := p.Header != "" && len(header[p.Header]) > 0
	if !cut && !named {
		return header, false
	}
	header = maps.Clone(header)
	delete(header, p.Header)
	if len(lines) > 0 {
		header["Cookie"] = lines
	} else {
		delete(header, "Cookie")
	}
	return header, true
}

// withoutCookie returns the lines without the cookies of the name, and whether there
// were any. All others are as they were, byte for byte.
func withoutCookie(lines []string, name string) (left []string, cut bool) {
	for range cookiesOf(lines, name) {
		cut = true
	}
	if !cut {
		return lines, false
	}
	for _, line := range lines {
		parts := strings.Split(line, ";")
		first := parts[0]
		parts = slices.DeleteFunc(parts, func(part string) bool {
			n, _, found := strings.Cut(strings.TrimSpace(part), "=")
			return found && n == name
		})
		if len(parts) > 0 && parts[0] != first {
			parts[0] = strings.TrimLeft(parts[0], " \t")
		}
		if line = strings.Join(parts, ";"); line != "" {
			left = append(left, line)
		}
	}
	return left, true
}
