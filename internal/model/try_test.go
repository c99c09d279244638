package model

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	var c Config
	if err := json.Unmarshal([]byte(os.Getenv("CFG")), &c); err != nil {
		t.Skip()
	}
	st := time.Now()
	r := Run(&c, 0, time.Now().Add(500*time.Second))
	t.Logf("%s %v\n %+v: states %d complete %v %s\n%s", os.Getenv("CFG"), time.Since(st), c, r.States, r.Complete, r.Violation, strings.Join(r.Trace, "\n"))
}
