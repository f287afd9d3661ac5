package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
)

// The page's style and script stand in it, as they are in their files.
var (
	pageStyle  = template.HTML("<style>" + embedded("page.css") + "</style>")
	pageScript = template.HTML("<script>" + embedded("page.js") + "</script>")

	policyOfReaders = contentPolicy("'none'")
	policyOfOrders  = contentPolicy("'self'")
)

// contentPolicy returns a policy by which the page runs no script and loads nothing but
// what stands in it, and connects only to where it comes from.
func contentPolicy(forms string) string {
	return "default-src 'none'; style-src " + hashOf("page.css") + "; script-src " + hashOf("page.js") +
		"; connect-src 'self'; img-src data:; form-action " + forms + "; base-uri 'none'; frame-ancestors 'none'"
}

// hashOf returns the file's hash as a policy has it.
func hashOf(name string) string {
	h := sha256.Sum256([]byte(embedded(name)))
	return "'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'"
}

// setPageHeaders sets the headers of all answers.
func setPageHeaders(h http.Header, allowOrders bool) {
	h.Set("Content-Security-Policy", policyOfReaders)
	if allowOrders {
		h.Set("Content-Security-Policy", policyOfOrders)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Not no-referrer: with that, browsers say "Origin: null" when they post a form.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
