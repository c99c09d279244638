package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// capability is how a skip says what it lacks.
var capability = regexp.MustCompile(`^(missing: |no )\S|\bneeds \S` +
	`|\S is not (permitted|supported|available)\b`)

// checkSkips holds that a test is skipped only for something that is missing,
// and says what: in words, or by the error that a check has just recognised.
func checkSkips(tr *tree) []string {
	var bad []string
	for _, s := range tr.sources {
		var around []ast.Node // the nodes around the present one
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if n == nil {
				around = around[:len(around)-1]
				return true
			}
			if c, ok := n.(*ast.CallExpr); ok && isSkip(c, around) {
				if !saysWhy(c, around) {
					bad = append(bad, fmt.Sprintf("%s: the skip does not say what "+
						`is missing: want "missing: CAPABILITY"`, tr.at(c.Pos())))
				}
			}
			around = append(around, n)
			return true
		})
	}
	return bad
}

// isSkip reports whether a call skips a test: it is on a parameter of one of the
// functions around it, whose type is of package testing, or on a field that has
// the name of one.
func isSkip(c *ast.CallExpr, around []ast.Node) bool {
	sel, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
		return false
	}
	if field, ok := sel.X.(*ast.SelectorExpr); ok {
		return slices.Contains([]string{"t", "tb", "b", "f", "T", "TB"}, field.Sel.Name)
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	return slices.ContainsFunc(around, func(n ast.Node) bool {
		var f *ast.FuncType
		switch n := n.(type) {
		case *ast.FuncDecl:
			f = n.Type
		case *ast.FuncLit:
			f = n.Type
		default:
			return false
		}
		return slices.ContainsFunc(f.Params.List, func(p *ast.Field) bool {
			named := slices.ContainsFunc(p.Names, func(id *ast.Ident) bool {
				return id.Name == x.Name
			})
			of := strings.TrimPrefix(types.ExprString(p.Type), "*")
			return named && strings.HasPrefix(of, "testing.")
		})
	})
}

// saysWhy reports whether the first argument of a skip is a text that names a
// capability, or an error that the condition around it has looked at.
func saysWhy(c *ast.CallExpr, around []ast.Node) bool {
	if len(c.Args) == 0 {
		return false
	}
	err, ok := c.Args[0].(*ast.Ident)
	if !ok {
		return capability.MatchString(literal(c.Args[0]))
	}
	for _, n := range slices.Backward(around) {
		if cond, ok := n.(*ast.IfStmt); ok {
			return looksAt(cond.Cond, err.Name)
		}
	}
	return false
}

// looksAt reports whether a condition calls something with a variable.
func looksAt(cond ast.Expr, name string) bool {
	found := false
	ast.Inspect(cond, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			for _, arg := range c.Args {
				id, ok := arg.(*ast.Ident)
				found = found || ok && id.Name == name
			}
		}
		return true
	})
	return found
}

// literal returns the value of a string literal, of the first one in a sum, and
// "" for anything else.
func literal(e ast.Expr) string {
	if sum, ok := e.(*ast.BinaryExpr); ok {
		return literal(sum.X) + "..."
	}
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}
