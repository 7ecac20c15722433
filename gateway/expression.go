package gateway

import (
	"fmt"
	"strings"
)

// Bounds of an expression.
const (
	maxExpression = 4 << 10
	maxVariables  = 32
)

// bodyVariable is what the paths of a selection expression are under.
const bodyVariable = "request.body"

// An expression is a selection expression (5.2): literals, and paths into a
// message's body. It is immutable.
type expression struct {
	parts []part
	paths *query
}

// A part is a literal, or what a slot of the query found.
type part struct {
	literal string
	slot    int // -1 for a literal
}

// parseExpression compiles a selection expression.
func parseExpression(text string) (*expression, error) {
	switch {
	case text == "":
		return nil, fmt.Errorf("it is empty")
	case len(text) > maxExpression:
		return nil, fmt.Errorf("it is longer than %d bytes", maxExpression)
	}
	x := &expression{paths: newQuery()}
	for rest := text; rest != ""; {
		literal, after := cutLiteral(rest)
		if literal != "" {
			x.parts = append(x.parts, part{literal, -1})
		}
		if after == "" {
			break
		}
		variable, tail, err := cutVariable(after)
		if err != nil {
			return nil, err
		}
		slot, err := x.paths.add(variable)
		if err != nil {
			return nil, err
		}
		x.parts, rest = append(x.parts, part{"", slot}), tail
	}
	return x, nil
}

// cutLiteral takes what comes before the first variable, with \$ as a dollar.
func cutLiteral(text string) (literal, rest string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '$':
			return b.String(), text[i:]
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '$':
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String(), ""
}

// cutVariable takes the path of the variable that the text begins with.
func cutVariable(text string) (path, rest string, err error) {
	if !strings.HasPrefix(text, "${") {
		path, rest = cutBare(text[1:])
	} else if path, rest, err = cutBraced(text[2:]); err != nil {
		return "", "", err
	}
	path, ok := strings.CutPrefix(path, bodyVariable)
	if !ok {
		return "", "", fmt.Errorf("%q: a variable begins with $request.body; a dollar by itself is written \\$", text)
	}
	return path, rest, nil
}

// cutBraced takes what comes before the closing brace: one in quotes is not it.
func cutBraced(text string) (path, rest string, err error) {
	var quote byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '}':
			return text[:i], text[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("%q: a closing brace is missing", "${"+text)
}

// cutBare takes what can be of a variable without braces.
func cutBare(text string) (path, rest string) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if !isAlphanumeric(c) && !strings.ContainsRune(`_.[]'"*@-`, rune(c)) {
			return text[:i], text[i:]
		}
	}
	return text, ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// evaluate returns the text that an expression makes of a message. It is not ok
// for a message that is no JSON object, if there is a variable, and for a text
// longer than limit.
func (x *expression) evaluate(message []byte, limit int) (text []byte, ok bool) {
	found, ok := x.paths.find(message, limit)
	if !ok {
		return nil, false
	}
	for _, p := range x.parts {
		if p.slot < 0 {
			text = append(text, p.literal...)
		} else {
			text = append(text, found[p.slot].text...)
		}
	}
	return text, len(text) <= limit
}
