package healthcheck

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// response is what an expression is about.
type response struct {
	status   int
	header   http.Header
	body     []byte
	duration time.Duration // until the response header
}

const (
	// maxCost is the cost at which an expression is stopped, in CEL's units:
	// about one for each step and each ten bytes of text.
	maxCost = 100_000_000

	// interruptFrequency is the number of rounds of a loop after which an
	// expression checks whether the probe's time is up.
	interruptFrequency = 100
)

// expression is a compiled CEL expression. It may be evaluated by many
// goroutines at once.
type expression struct {
	source  string
	program cel.Program
}

// expressions is the environment that all expressions are compiled in.
var expressions = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("status", cel.IntType),
		cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("body", cel.StringType),
		cel.Variable("json", cel.DynType),
		cel.Variable("duration", cel.DurationType),
		// JSON's numbers are doubles, and people compare them with integers.
		cel.CrossTypeNumericComparisons(true),
		ext.Strings(),
	)
})

// compileExpression compiles an expression, whose type must be bool, and
// which may cost at most limit.
func compileExpression(source string, limit uint64) (*expression, error) {
	env, err := expressions()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(source)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		message := strings.TrimSuffix(first.Message, " (in container '')")
		return nil, fmt.Errorf("'%s': line %d, column %d: %s",
			clip(source, maxReason), first.Location.Line(), first.Location.Column()+1, clip(message, maxReason))
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("'%s' is of type %s, not bool; compare it with something", clip(source, maxReason), t)
	}
	program, err := env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.InterruptCheckFrequency(interruptFrequency),
		cel.CostLimit(limit))
	if err != nil {
		return nil, fmt.Errorf("'%s': %w", clip(source, maxReason), err)
	}
	return &expression{source: strings.Join(strings.Fields(source), " "), program: program}, nil
}

// check returns nil if the expression is true of the response. It ends with the
// context.
func (e *expression) check(ctx context.Context, r response) error {
	notJSON := false
	out, _, err := e.program.ContextEval(ctx, map[string]any{
		"status":   r.status,
		"headers":  func() any { return bothCases(r.header) },
		"body":     func() any { return string(r.body) },
		"duration": r.duration,
		"json": func() ref.Val {
			var value any
			if err := json.Unmarshal(r.body, &value); err != nil {
				notJSON = true
				return types.NewErr("body is not JSON")
			}
			return types.DefaultTypeAdapter.NativeToValue(value)
		},
	})
	switch {
	case err != nil && notJSON && ctx.Err() == nil:
		return failf("body is not JSON")
	case err != nil && ctx.Err() == nil:
		return failf("expression failed: %v", err)
	case err != nil:
		return reason(ctx, err)
	case out != types.True:
		return failf("expression is false: %s", e.source)
	}
	return nil
}

// bothCases returns each field under its canonical and its lower-case name.
func bothCases(header http.Header) map[string]string {
	m := make(map[string]string, 2*len(header))
	for field, values := range header {
		value := strings.Join(values, ", ")
		m[field] = value
		m[strings.ToLower(field)] = value
	}
	return m
}
