package archtest

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// files is a small tree: contents by name.
type files map[string]string

// sound is a tree that breaks no rule. Each test below breaks one in it.
var sound = files{
	"shm/doc.go": "// Package shm is one.\npackage shm\n\nimport _ \"" +
		module + "/internal/sys\"\n",
	"shm/view_unsafe.go": "package shm\n\nimport _ \"unsafe\"\n",
	"shm/shm.go": "package shm\n\nfunc f() {\n" +
		"\tg() //sync:a-name release: all of it\n" +
		"\tg() //sync:a-name acquire: all of it\n}\n",
	"shm/shm_test.go": "package shm_test\n\nimport (\n\t\"testing\"\n\n\t_ \"" +
		module + "/internal/shmtest\"\n)\n\n" +
		"func TestX(t *testing.T) { t.Skip(\"missing: a kernel\") }\n",
	"internal/sys/doc.go": "// Package sys calls.\npackage sys\n\n" +
		"import _ \"golang.org/x/sys/unix\"\n",
	"bench/main.go": "// Command bench measures.\npackage main\n\nimport _ \"" +
		module + "/shm\"\n",
	"docs/ordering.md": "| name | what |\n|---|---|\n| `a-name` | all of it |\n",
	// None of these is the module's.
	"bench/compare/go.mod": "module x\n",
	"bench/compare/x.go":   "package x\n\nimport \"C\"\n",
	"shm/testdata/x.go":    "no Go at all",
}

func lines(n int) string { return strings.Repeat("\n", n) }

// bites are trees made of sound and these files, with what the rule then says.
var bites = []struct {
	name  string
	rule  string
	files files
	want  string
}{
	{"a package reaches up", "imports point one way", files{
		"shm/a.go": "package shm\nimport _ \"" + module + "/ring\"\n"},
		"shm/a.go: imports " + module + "/ring: imports point one way"},
	{"on another platform", "imports point one way", files{
		"shm/a_windows.go": "package shm\nimport _ \"" + module + "/ring\"\n"},
		"shm/a_windows.go: imports"},
	{"siblings", "imports point one way", files{
		"internal/mem/a.go": "package mem\nimport _ \"" + module + "/internal/sys\"\n"},
		"imports point one way"},
	{"an unknown package", "imports point one way", files{
		"internal/util/a.go": "package util\n"},
		"internal/util: the package has no row"},
	{"the harness in a program", "imports point one way", files{
		"shm/a.go": "package shm\nimport _ \"" + module + "/internal/shmtest\"\n"},
		"internal/shmtest: imports point one way"},
	{"a test reaches up", "imports point one way", files{
		"shm/a_test.go": "package shm\nimport _ \"" + module + "/conn\"\n"},
		"a test may not reach above"},
	{"a test of a package that is not there", "imports point one way", files{
		"shm/a_test.go": "package shm\nimport _ \"" + module + "/nothing\"\n"},
		"no such package"},
	{"the root", "imports point one way", files{
		"shm/a.go": "package shm\nimport _ \"" + module + "\"\n"},
		"not a library"},
	{"a dependency of another package", "imports point one way", files{
		"ring/a.go": "package ring\nimport _ \"github.com/fxamacker/cbor/v2\"\n"},
		"the dependency is not"},
	{"a test's dependency in a program", "imports point one way", files{
		"ring/a.go": "package ring\nimport _ \"pgregory.net/rapid\"\n"},
		"the dependency is not"},
	{"a path that only begins like one allowed", "imports point one way", files{
		"internal/sys/a.go": "package sys\nimport _ \"golang.org/x/sysx\"\n"},
		"the dependency is not"},

	{"unsafe elsewhere", "unsafe files", files{
		"shm/a.go": "package shm\nimport \"unsafe\"\n"},
		"shm/a.go: imports unsafe"},
	{"unsafe in a test", "unsafe files", files{
		"shm/a_test.go": "package shm\nimport \"unsafe\"\n"},
		"shm/a_test.go: imports unsafe"},
	{"system calls elsewhere", "unsafe files", files{
		"shm/a_test.go": "package shm\nimport \"golang.org/x/sys/unix\"\n"},
		"outside internal/sys"},

	{"cgo", "import C", files{"shm/a.go": "package shm\nimport \"C\"\n"},
		`shm/a.go: imports "C"`},
	{"cgo behind a tag", "import C", files{
		"shm/a.go": "//go:build never\n\npackage shm\nimport \"C\"\n"},
		`shm/a.go: imports "C"`},

	{"no acquire", "sync notes", files{
		"shm/shm.go": "package shm\n//sync:a-name release: all\n"},
		"shm/shm.go:2: sync:a-name has no acquire"},
	{"no release", "sync notes", files{
		"shm/shm.go": "package shm\n//sync:a-name acquire: all\n"},
		"shm/shm.go:2: sync:a-name has no release"},
	{"the other end only in a test", "sync notes", files{
		"shm/shm.go":      "package shm\n//sync:a-name release: all\n",
		"shm/sub_test.go": "package shm\n//sync:a-name acquire: all\n"},
		"has no acquire"},
	{"no words", "sync notes", files{
		"shm/a.go": "package shm\n//sync:a-name release:\n"}, "not of the form"},
	{"a space in front", "sync notes", files{
		"shm/a.go": "package shm\n// sync:a-name release: all\n"}, "not of the form"},
	{"another word", "sync notes", files{
		"shm/a.go": "package shm\n//sync:a-name publish: all\n"}, "not of the form"},
	{"no row", "sync notes", files{
		"docs/ordering.md": "| name |\n|---|\n| other-name |\n"},
		"no row for sync:a-name"},
	{"a row too many", "sync notes", files{
		"docs/ordering.md": "| name |\n|---|\n| a-name |\n| gone |\n"},
		"gone is nowhere in the code"},

	{"no comment", "package comments", files{"ring/a.go": "package ring\n"},
		"ring: 0 package comments"},
	{"only a build tag", "package comments", files{
		"ring/a.go": "//go:build linux\npackage ring\n"}, "ring: 0 package comments"},
	{"two comments", "package comments", files{
		"shm/a.go": "// Package shm is two.\npackage shm\n"}, "shm: 2 package comments"},
	{"another name", "package comments", files{
		"ring/a.go": "// Package rink is one.\npackage ring\n"}, "does not begin with"},
	{"a library's comment on a command", "package comments", files{
		"cmd/x/a.go": "// Package main is one.\npackage main\n"}, `"Command x "`},

	{"a long file", "sizes", files{"shm/a.go": "package shm\n" + lines(400)},
		"shm/a.go: 401 lines"},
	{"a long function", "sizes", files{
		"shm/a.go": "package shm\n\nfunc f() {\n" + lines(59) + "}\n"},
		"shm/a.go:3: f has 61 lines"},

	{"sleep", "sleep", files{
		"shm/a.go": "package shm\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"},
		"shm/a.go:3: time.Sleep"},
	{"sleep by another name", "sleep", files{
		"shm/a.go": "package shm\nimport c \"time\"\nfunc f() { c.Sleep(1) }\n"},
		"shm/a.go:3: time.Sleep"},

	{"a skip without a reason", "skips", skip(`t.SkipNow()`), "does not say"},
	{"a skip without a capability", "skips", skip(`t.Skip("flaky")`), "does not say"},
	{"a skip with anything", "skips", skip(`t.Skipf(why, 1)`), "does not say"},
	{"a skip for any error", "skips", skip(`if err != nil { t.Skip(err) }`),
		"shm/a_test.go:2: "},
	{"a skip in a closure", "skips", skip(`func() { t.Skip("slow") }()`), "does not say"},
	{"a skip of a field", "skips", skip(`x.t.Skip("slow")`), "does not say"},
	{"a skip outside tests", "skips", files{
		"internal/shmtest/a.go": "package shmtest\nfunc f(tb testing.TB) { tb.Skip(\"slow\") }\n"},
		"does not say"},
}

// skip is a test file with a statement in a test.
func skip(statement string) files {
	return files{"shm/a_test.go": "package shm\nfunc f(t *testing.T) { " + statement + " }\n"}
}

// check applies a rule to a tree in memory.
func check(t *testing.T, rule string, trees ...files) []string {
	t.Helper()
	fsys := fstest.MapFS{}
	for _, fs := range trees {
		for name, text := range fs {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	tr, err := load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if rules[rule] == nil {
		t.Fatalf("no rule %q", rule)
	}
	return rules[rule](tr)
}

func TestSoundTreeBreaksNoRule(t *testing.T) {
	for name := range rules {
		if bad := check(t, name, sound); len(bad) > 0 {
			t.Errorf("%s: %q", name, bad)
		}
	}
	limits := files{
		"shm/a.go": "package shm\n" + lines(399),
		"shm/b.go": "package shm\nfunc f() {\n" + lines(58) + "}\n",
	}
	if bad := check(t, "sizes", sound, limits); len(bad) > 0 {
		t.Errorf("sizes at their limits: %q", bad)
	}
	for _, fine := range []string{
		`t.Skip("missing: pidfd (Linux 5.3)")`, `t.Skipf("missing: "+what, 1)`,
		`t.Skip("spinning needs two CPUs")`, `t.Skip("mlock is not permitted here")`,
		`if errors.Is(err, errors.ErrUnsupported) { t.Skip(err) }`,
		`r.Skip(1)`, `r.to.Skip(1)`, `r.to().Skip(1)`,
	} {
		if bad := check(t, "skips", sound, skip(fine)); len(bad) > 0 {
			t.Errorf("%s: %q", fine, bad)
		}
	}
	noPage := maps.Clone(sound)
	delete(noPage, "docs/ordering.md")
	if bad := check(t, "sync notes", noPage); len(bad) > 0 {
		t.Errorf("without a page on ordering: %q", bad)
	}
}

func TestRulesBite(t *testing.T) {
	bitten := map[string]bool{}
	for _, tt := range bites {
		t.Run(tt.rule+"/"+tt.name, func(t *testing.T) {
			bitten[tt.rule] = true
			bad := check(t, tt.rule, sound, tt.files)
			// It may say more: an edge gone from the code misses its row.
			if !strings.Contains(strings.Join(bad, "\n"), tt.want) {
				t.Errorf("the rule says %q, want %q", bad, tt.want)
			}
		})
	}
	for name := range rules {
		if !bitten[name] {
			t.Errorf("%s: no tree breaks this rule", name)
		}
	}
}

func TestTopLevelBites(t *testing.T) {
	if bad := checkTop([]string{"go.mod", "shm/a.go", ".ci/run"}); len(bad) > 0 {
		t.Errorf("a sound top: %q", bad)
	}
	for _, tt := range []struct {
		files []string
		want  string
	}{
		{[]string{"go.mod", "util/a.go"}, "util: does not belong"},
		{[]string{"go.mod", "notes.txt"}, "notes.txt: does not belong"},
		{[]string{"shm/a.go"}, "go.mod: not at the top"},
	} {
		bad := checkTop(tt.files)
		if len(bad) != 1 || !strings.HasPrefix(bad[0], tt.want) {
			t.Errorf("%q: the rule says %q, want %q", tt.files, bad, tt.want)
		}
	}
}

func TestMachinePathsBite(t *testing.T) {
	const slash = "/" // so that this file does not break the rule
	for text, broken := range map[string]bool{
		"cd " + slash + "work/main":                    true,
		slash + "root/.cache":                          true,
		"see <" + slash + "home/ann/x>":                true,
		"`" + slash + "Users/Ann/x`":                   true,
		"file://" + slash + "work/x":                   true,
		"https://example.org" + slash + "work/x":       false,
		"the work" + slash + "root/ratio":              false,
		"$HOME" + slash + "work/x":                     false,
		slash + "dev/shm/sluice-x, " + slash + "tmp/x": false,
		"\x00" + slash + "work/binary":                 false,
	} {
		fsys := fstest.MapFS{"a.md": {Data: []byte("first\n" + text)}}
		bad := checkPaths(fsys, []string{"a.md", "deleted.md"})
		if (len(bad) > 0) != broken {
			t.Errorf("%q: the rule says %q", text, bad)
		}
		if broken && !strings.HasPrefix(bad[0], "a.md:2: ") {
			t.Errorf("%q: the rule names %q", text, bad[0])
		}
	}
}

func TestTrackedWithoutGitIsEverything(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, files{"a.md": "", "b/c.md": ""})
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
	got, err := tracked(dir, os.DirFS(dir))
	if err != nil || strings.Join(got, " ") != "a.md b/c.md" {
		t.Errorf("tracked files %q, %v", got, err)
	}
}

// The rules on cgo are on what go list says, so they bite in real modules.
func TestCgoBites(t *testing.T) {
	const platform = "linux/amd64"
	t.Run("cgo beside Go", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, files{
			"go.mod": "module m\n\ngo 1.24\n",
			"a/a.go": "package a\n\nimport _ \"m/b\"\n",
			"b/b.go": "package b\n",
			"b/c.go": "package b\n\nimport \"C\"\n",
		})
		bite(t, dir, platform, "1", checkCgo, `m/b: uses cgo in ["c.go"]`)
	})
	t.Run("nothing without cgo", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, files{
			"go.mod": "module m\n\ngo 1.24\n",
			"a/a.go": "package a\n\nimport _ \"m/b\"\n",
			"b/c.go": "package b\n\nimport \"C\"\n",
		})
		bite(t, dir, platform, "0", checkNoCgo, "m/b: build constraints exclude all Go files")
	})
}

func bite(
	t *testing.T, dir, platform, cgo string, rule func([]listed) []string, want string,
) {
	t.Helper()
	pkgs, err := list(dir, platform, cgo)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Join(rule(pkgs), "\n")
	if !strings.Contains(bad, want) {
		t.Errorf("the rule says %q, want %q", bad, want)
	}
}

// write makes a tree on disk.
func write(t *testing.T, dir string, fs files) {
	t.Helper()
	for name, text := range fs {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
