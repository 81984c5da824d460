package logging

import (
	"fmt"
	"log/slog"
	"strconv"
)

// Level is a verbosity, MinVerbosity to MaxVerbosity, plus eight times a mask
// of modules: the number in the configuration value log.level.
type Level uint64

// Verbosities.
const (
	MinVerbosity     = 1
	DefaultVerbosity = 3
	debugVerbosity   = 4
	MaxVerbosity     = 5
)

// moduleShift is the number of bits of the verbosity.
const moduleShift = 3

// Modules in the order of their bits.
const (
	ModuleTransport  = "transport"
	ModuleAIS        = "ais"
	ModuleMemsys     = "memsys"
	ModuleCluster    = "cluster"
	ModuleFS         = "fs"
	ModuleReb        = "reb"
	ModuleEC         = "ec"
	ModuleStats      = "stats"
	ModuleIOS        = "ios"
	ModuleXS         = "xs"
	ModuleBackend    = "backend"
	ModuleSpace      = "space"
	ModuleMirror     = "mirror"
	ModuleDSort      = "dsort"
	ModuleDownloader = "downloader"
	ModuleETL        = "etl"
	ModuleS3         = "s3"
	ModuleKalive     = "kalive"
)

// Modules returns the names of all modules in the order of their bits.
func Modules() []string {
	return []string{
		ModuleTransport, ModuleAIS, ModuleMemsys, ModuleCluster, ModuleFS, ModuleReb, ModuleEC, ModuleStats, ModuleIOS,
		ModuleXS, ModuleBackend, ModuleSpace, ModuleMirror, ModuleDSort, ModuleDownloader, ModuleETL, ModuleS3, ModuleKalive,
	}
}

// NewLevel makes a level of a verbosity and modules; unknown modules are ignored.
func NewLevel(verbosity int, modules ...string) Level {
	l := Level(verbosity)
	for _, m := range modules {
		l |= Level(moduleBit(m)) << moduleShift
	}
	return l
}

// ParseLevel reads the decimal text of log.level. An empty text is the
// default verbosity.
func ParseLevel(s string) (Level, error) {
	if s == "" {
		return DefaultVerbosity, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	l := Level(n)
	if err != nil || l.Verbosity() < MinVerbosity || l.Verbosity() > MaxVerbosity || l.mask() >= 1<<len(Modules()) {
		return 0, fmt.Errorf("invalid log.level %q: want verbosity (%d to %d) + 8 * mask of modules", s, MinVerbosity, MaxVerbosity)
	}
	return l, nil
}

// String is the decimal text of log.level.
func (l Level) String() string { return strconv.FormatUint(uint64(l), 10) }

// Verbosity is the part without modules.
func (l Level) Verbosity() int { return int(l & (1<<moduleShift - 1)) }

// Modules are the names of the modules in the mask.
func (l Level) Modules() []string {
	var names []string
	for i, name := range Modules() {
		if l.mask()&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (l Level) mask() uint64 { return uint64(l >> moduleShift) }

// enabled tells whether a record of a module (its bit, 0 for none) is logged.
func (l Level) enabled(level slog.Level, module uint64) bool {
	return level >= slog.LevelInfo || l.Verbosity() >= debugVerbosity || l.mask()&module != 0
}

// moduleBit is the mask of one module, 0 for an unknown name.
func moduleBit(name string) uint64 {
	for i, m := range Modules() {
		if m == name {
			return 1 << i
		}
	}
	return 0
}
