package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/deploy/playground"
)

const (
	defaultPort   = 8080
	maxNodes      = 100 // of one role: their ports must not run into the next network's
	maxMountpaths = 32
)

// readSettings takes the environment first, then the answers on standard
// input (unless that is a terminal or the command asks no questions), then
// the defaults. The end of input counts as empty answers.
func readSettings(getenv func(string) string, stdin *os.File, ask bool) (c *playground.Cluster, demo bool, err error) {
	answers := answersOn(stdin, ask)
	c = &playground.Cluster{}
	if c.Targets, err = number("TARGETS", first(getenv("TARGETS"), answers[0]), 3, 1, maxNodes); err != nil {
		return nil, false, err
	}
	if c.Proxies, err = number("PROXIES", first(getenv("PROXIES"), answers[1]), 3, 1, maxNodes); err != nil {
		return nil, false, err
	}
	if c.Mountpaths, err = number("MOUNTPATHS", first(getenv("MOUNTPATHS"), getenv("TEST_FSPATH_COUNT"), answers[2]), 4, 1, maxMountpaths); err != nil {
		return nil, false, err
	}
	if c.Port, err = number("PORT", getenv("PORT"), defaultPort, 1024, 65535-2000-2*maxNodes); err != nil {
		return nil, false, err
	}
	if demo, err = yesNo("DEMO", getenv("DEMO"), true); err != nil {
		return nil, false, err
	}
	if c.Root, err = filepath.Abs(first(getenv("ROOT"), ".playground")); err != nil {
		return nil, false, fmt.Errorf("ROOT: %w", err)
	}
	if c.Root == "/" || c.Root == filepath.Clean(getenv("HOME")) {
		return nil, false, fmt.Errorf("ROOT=%s: expected a folder of its own", c.Root)
	}
	c.Bin, err = filepath.Abs(first(getenv("BIN"), "bin"))
	return c, demo, err
}

// answersOn reads up to three answers. Backend, loopback and tracing
// questions that other playgrounds ask may follow: they are read by nobody
// and do no harm.
func answersOn(stdin *os.File, ask bool) (answers [3]string) {
	if !ask {
		return answers
	}
	info, err := stdin.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice != 0 {
		return answers
	}
	lines := bufio.NewScanner(io.LimitReader(stdin, 4096))
	for i := 0; i < len(answers) && lines.Scan(); i++ {
		answers[i] = strings.TrimSpace(lines.Text())
	}
	return answers
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func number(name, text string, byDefault, least, most int) (int, error) {
	if text == "" {
		return byDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s=%s: expected a number from %d to %d", name, text, least, most)
	}
	return n, nil
}

func yesNo(name, text string, byDefault bool) (bool, error) {
	switch strings.ToLower(text) {
	case "":
		return byDefault, nil
	case "yes", "y", "true", "1", "on":
		return true, nil
	case "no", "n", "false", "0", "off":
		return false, nil
	}
	return false, fmt.Errorf("%s=%s: expected yes or no", name, text)
}
