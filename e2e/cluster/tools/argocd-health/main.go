// argocd-health prints what Argo CD makes of objects by a health script: its own code runs the script.
// It reads objects as JSON, one after another, from standard input, and prints {"status": ..., "message": ...}
// for each, on a line of its own. The argument is the script's file.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-cd/v3/util/lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "argocd-health:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("give one argument, the script's file")
	}
	script, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	objects, verdicts := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		object := map[string]any{}
		if err := objects.Decode(&object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		health, err := lua.VM{}.ExecuteHealthLua(&unstructured.Unstructured{Object: object}, string(script))
		if err != nil {
			return err
		}
		if err := verdicts.Encode(map[string]string{"status": string(health.Status), "message": health.Message}); err != nil {
			return err
		}
	}
}
