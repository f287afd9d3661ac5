package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// done is what the page says after an order, by the button.
var done = map[string]string{
	"ready":       "The upstream is ordered ready.",
	"drain":       "The upstream is drained.",
	"maintenance": "The upstream is in maintenance.",
	"weight":      "The weight is ordered.",
	"withdraw":    "The order is withdrawn.",
	"pause":       "The pool is paused.",
	"resume":      "The pool is open.",
}

// takeOrder takes an order that a form of the page has posted. It answers with the page:
// by way of a redirect, so that reloading gives no order again.
func (p *StatusPage) takeOrder(w http.ResponseWriter, r *http.Request) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return fail(http.StatusBadRequest, errors.New("the content type is not application/x-www-form-urlencoded"))
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return fail(http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", maxBody))
		}
		return fail(http.StatusBadRequest, fmt.Errorf("reading the form: %v", err))
	}
	if err := ownPage(r); err != nil {
		return p.show(w, r, http.StatusForbidden, err.Error())
	}
	action := r.PostForm.Get("action")
	status, err := p.order(r, action)
	if err != nil {
		return p.show(w, r, status, err.Error())
	}
	w.Header().Set("Location", "?done="+action)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// order gives the order of the form, for all upstreams that it has. Without an error,
// all were given.
func (p *StatusPage) order(r *http.Request, action string) (status int, err error) {
	form := r.PostForm
	var edit patch
	state := orders.State(action)
	switch action {
	case "ready", "drain", "maintenance":
	case "pause":
		state = orders.Paused
	case "resume":
		state = orders.Open
	case "weight":
		weight := json.RawMessage(strings.TrimSpace(form.Get("weight")))
		edit.Weight = weight
	case "withdraw":
	default:
		return http.StatusBadRequest, fmt.Errorf("there is no order '%s'", action)
	}
	if action != "weight" {
		edit.State = &state
	}
	reason, ttl := strings.TrimSpace(form.Get("reason")), strings.TrimSpace(form.Get("ttl"))
	if action != "weight" || reason != "" { // a weight leaves what a drain has been given
		edit.Reason = &reason
	}
	if action != "weight" || ttl != "" {
		edit.TTL = &ttl
	}

	in := form.Get("pool")
	if in != "" && action != "withdraw" {
		if _, ok := poolNamed(in); !ok {
			return http.StatusNotFound, fmt.Errorf("there is no pool '%s'", in)
		}
	}
	if form.Get("of") == "pool" {
		if edit.Weight != nil {
			return http.StatusBadRequest, errors.New("a pool has no weight")
		}
		if in == "" {
			return http.StatusBadRequest, errors.New("no pool is named")
		}
		err := edit.orderPool(r, in)
		p.log(r, action, in, "", err)
		return statusOf(err), messageOf(err)
	}
	if form.Get("everywhere") != "" {
		in = ""
	}
	addresses := form["upstream"]
	if len(addresses) == 0 {
		return http.StatusBadRequest, errors.New("no upstream is selected")
	}
	var failures []error
	for _, address := range addresses {
		err := edit.orderUpstream(r, in, address)
		p.log(r, action, in, address, err)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %v", address, messageOf(err)))
			status = statusOf(err)
		}
	}
	return status, errors.Join(failures...)
}

// orderPool gives the order for the pool.
func (p *patch) orderPool(r *http.Request, in string) error {
	if *p.State == "withdraw" {
		return withdrawOrder(r, in, "")
	}
	_, err := change(r.Context(), in, "", "", p.apply)
	return err
}

// orderUpstream gives the order for the upstream in the pool; in all of them where that
// is empty.
func (p *patch) orderUpstream(r *http.Request, in, address string) error {
	found, key, err := findUpstream(address)
	switch {
	case err != nil:
		return err
	case p.State != nil && *p.State == "withdraw":
		return withdrawOrder(r, in, key)
	}
	asked := *p
	asked.Pool = in
	if err := asked.fits(found, address); err != nil {
		return err
	}
	_, err = change(r.Context(), in, key, "", asked.apply)
	return err
}

// withdrawOrder withdraws an order; there must be one.
func withdrawOrder(r *http.Request, in, address string) error {
	given, err := change(r.Context(), in, address, "", withdraw)
	if err == nil && given.Before == nil && !given.Mended {
		return fail(http.StatusNotFound, orders.ErrUnknown)
	}
	return err
}

// statusOf returns the status of an error of the API.
func statusOf(err error) int {
	if known := (caddy.APIError{}); errors.As(err, &known) {
		return known.HTTPStatus
	}
	return http.StatusInternalServerError
}

// messageOf returns what an error of the API says to people.
func messageOf(err error) error {
	if known := (caddy.APIError{}); errors.As(err, &known) {
		return known.Err
	}
	return err
}

// log says who has given an order.
func (p *StatusPage) log(r *http.Request, action, in, address string, err error) {
	client, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	fields := []zap.Field{zap.String("order", action), zap.String("pool", in), zap.String("upstream", address), zap.String("client_ip", client)}
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		if user, _ := repl.GetString("http.auth.user.id"); user != "" {
			fields = append(fields, zap.String("user", user))
		}
	}
	if err != nil {
		p.logger.Warn("an order on the status page failed", append(fields, zap.Error(err))...)
		return
	}
	p.logger.Info("an order was given on the status page", fields...)
}
