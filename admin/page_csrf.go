package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
)

// visitorCookie holds a random text by which a token belongs to one browser.
const visitorCookie = "load_balancer_status"

// tokenKey is that of the process.
var tokenKey = []byte(rand.Text())

// tokenOf returns the token without which the visitor's orders are refused.
func tokenOf(visitor string) string {
	mac := hmac.New(sha256.New, tokenKey)
	mac.Write([]byte(visitor))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// visitor returns the text in the visitor's cookie; it sets one where there is none.
// Browsers give the cookie the directory that they see the page in for its path.
func visitor(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(visitorCookie); err == nil && c.Value != "" {
		return c.Value
	}
	c := &http.Cookie{Name: visitorCookie, Value: rand.Text(), HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil}
	http.SetCookie(w, c)
	return c.Value
}

var crossOrigin = http.NewCrossOriginProtection()

// ownPage returns an error unless the form was posted from the page itself, as the
// browser says and the token shows. The form is parsed.
func ownPage(r *http.Request) error {
	if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
		return errors.New("the request does not say which origin it comes from")
	}
	if err := crossOrigin.Check(r); err != nil {
		return errors.New("the request comes from another origin")
	}
	c, err := r.Cookie(visitorCookie)
	if err != nil || c.Value == "" || !hmac.Equal([]byte(tokenOf(c.Value)), []byte(r.PostForm.Get("token"))) {
		return errors.New("the page is from before a restart, or without its cookie; reload it and try again")
	}
	return nil
}
