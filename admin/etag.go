package admin

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// etag returns the ETag of a path whose orders have the tag, as Caddy's /config writes it.
func etag(path, tag string) string { return fmt.Sprintf(`"%s %s"`, path, tag) }

var ifMatch = regexp.MustCompile(`^"([^" ]+) ([0-9a-f]+)"$`)

// matched returns the tag that the request's If-Match asks for; empty where it has none.
func matched(r *http.Request, path string) (tag string, err error) {
	header := strings.Join(r.Header.Values("If-Match"), ", ")
	if header == "" {
		return "", nil
	}
	parts := ifMatch.FindStringSubmatch(header)
	switch {
	case parts == nil:
		return "", fail(http.StatusBadRequest, fmt.Errorf(`If-Match: %s is not an ETag as this API gives it: "<path> <hash>"`, header))
	case parts[1] != path:
		return "", fail(http.StatusPreconditionFailed, fmt.Errorf("If-Match: it is an ETag of another path: %s", parts[1]))
	}
	return parts[2], nil
}
