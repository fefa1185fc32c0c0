package e2e_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var binary string // the program under test

func TestMain(m *testing.M) {
	if design := os.Getenv(controlVariable); design != "" {
		panic(serveControl(design))
	}
	dir, err := os.MkdirTemp("", "keyhook-e2e-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "keyhook")
	build := exec.Command("go", "build", "-o", binary, "keyhook/cmd/keyhook")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	flag.Parse()
	if at := flag.Lookup("test.parallel"); at.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))) // they wait more than they work
	}
	code := m.Run()
	endShared()
	if err := endCrowd(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	endCommon()
	os.RemoveAll(dir)
	os.RemoveAll(migrated.dir)
	os.Exit(code)
}

// A program is one running `keyhook serve`.
type program struct {
	t       *testing.T
	dataDir string
	url     string // of console and ingestion
	cmd     *exec.Cmd
	ended   chan struct{}

	lock   sync.Mutex
	output bytes.Buffer // both streams
}

// newDataDir makes a folder that PostgreSQL's user can get through to.
func newDataDir(t *testing.T) string {
	t.Helper()
	dir, err := makeDataDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func makeDataDir() (string, error) {
	dir, err := os.MkdirTemp("", "keyhook-e2e-data-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711)
}

// migrated is a data folder that was started once, to be copied.
var migrated struct {
	sync.Once
	dir string
	err error
}

// migratedDataDir makes a data folder on which Keyhook was started and stopped, for
// the tests that are not about a first start: to make a cluster takes longer than to
// copy one. Nobody has used it: its set-up link is good.
func migratedDataDir(t *testing.T) string {
	t.Helper()
	dir, err := copyMigrated(t)
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyMigrated(t *testing.T) (string, error) {
	migrated.Do(func() {
		if migrated.dir, migrated.err = makeDataDir(); migrated.err == nil {
			server := prepare(t, "serve", migrated.dir)
			migrated.err = server.start()
			server.stop()
		}
	})
	if migrated.err != nil {
		return "", migrated.err
	}
	dir, err := makeDataDir()
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("cp", "-a", migrated.dir+"/.", dir).CombinedOutput(); err != nil {
		return dir, fmt.Errorf("copy a data folder: %w: %s", err, out)
	}
	return dir, nil
}

// serve starts the program and waits until it is ready.
func serve(t *testing.T, dataDir string, settings ...string) *program {
	t.Helper()
	return launch(t, "serve", dataDir, settings...)
}

// launch starts a command that serves, and waits until it is ready.
func launch(t *testing.T, command, dataDir string, settings ...string) *program {
	t.Helper()
	p := prepare(t, command, dataDir, settings...)
	if err := p.begin(); err != nil {
		t.Fatal(err)
	}
	return p
}

// prepare makes a program that is not started yet.
func prepare(t *testing.T, command, dataDir string, settings ...string) *program {
	t.Helper()
	p := &program{t: t, dataDir: dataDir, ended: make(chan struct{})}
	p.cmd = exec.Command(binary, command)
	p.cmd.Env = append(os.Environ(), append([]string{
		"KEYHOOK_DATA_DIR=" + dataDir, "KEYHOOK_ADDR=127.0.0.1:0", "KEYHOOK_OPS_ADDR=", "KEYHOOK_LOG_FORMAT=json", "DATABASE_URL=",
		"KEYHOOK_DRAIN_DELAY=0s", // or every test would wait at its end
	}, settings...)...)
	return p
}

// begin starts the program, to be stopped with the test, and waits until it is ready.
func (p *program) begin() error {
	p.t.Cleanup(p.stop)
	return p.start()
}

func (p *program) start() error {
	reader, writer := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = writer, writer
	if err := p.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan string, 1)
	go p.listen(reader, ready)
	go func() {
		p.cmd.Wait()
		writer.Close()
		close(p.ended)
	}()
	select {
	case p.url = <-ready:
		return nil
	case <-p.ended:
		return fmt.Errorf("the program ended:\n%s", p.log())
	case <-time.After(4 * patience): // a demonstration is filled
		return fmt.Errorf("the program is not ready after %s:\n%s", 4*patience, p.log())
	}
}

var readyLine = regexp.MustCompile(`Keyhook is ready at (http://\S+)`)

func (p *program) listen(output io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.lock.Lock()
		p.output.WriteString(lines.Text() + "\n")
		p.lock.Unlock()
		if found := readyLine.FindStringSubmatch(lines.Text()); found != nil {
			ready <- strings.TrimRight(found[1], `"`)
		}
	}
}

func (p *program) log() string {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.output.String()
}

// stop ends the program and waits for it.
func (p *program) stop() {
	if err := p.end(); err != nil {
		p.t.Error(err)
	}
}

func (p *program) end() error {
	if p.cmd.Process == nil {
		return nil // it never was started
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
		return errors.New("keyhook serve did not end in 30 s")
	}
	return nil
}

// setupLink reads the link that a start without a terminal leaves in a file.
func (p *program) setupLink() string {
	p.t.Helper()
	path := filepath.Join(p.dataDir, "setup-link")
	link, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatalf("the set-up link: %v\n%s", err, p.log())
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		p.t.Errorf("the set-up link's file has mode %v, %v; want 0600", info.Mode(), err)
	}
	return strings.TrimSpace(string(link))
}

// run runs a command of the program on the same data and returns what it prints.
func (p *program) run(stdin string, args ...string) string {
	p.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "KEYHOOK_DATA_DIR="+p.dataDir, "DATABASE_URL=")
	cmd.Stdin = strings.NewReader(stdin)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("keyhook %s: %v: %s", strings.Join(args, " "), err, problem.String())
	}
	return string(out)
}

// post sends a request to ingestion and returns the answer's status and body.
func (p *program) post(path, body string, headers map[string]string) (int, string) {
	p.t.Helper()
	request, err := http.NewRequest(http.MethodPost, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// shell runs a snippet as somebody would who pastes it.
func shell(t *testing.T, script string, env ...string) string {
	t.Helper()
	cmd := exec.Command("bash", "-c", script)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the snippet failed: %v\n%s\n%s", err, out, fmt.Sprint(len(script), " bytes of script"))
	}
	return string(out)
}
