// Command coraza runs requests through Coraza and tells which rules it logged and what the scores were: the judge of
// ../coraza.test.ts.
//
//	coraza setup.conf /path/to/crs < exchanges.jsonl > verdicts.jsonl
//
// Rules come in the order setup, crs-setup.conf.example, rules/*.conf. Bytes are base64 in JSON.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

type exchange struct {
	Name            string   `json:"name"`
	Method          []byte   `json:"method"`
	URI             []byte   `json:"uri"`
	Protocol        []byte   `json:"protocol"`
	Headers         [][]byte `json:"headers"`
	Body            []byte   `json:"body"`
	Status          int      `json:"status"`
	ResponseHeaders [][]byte `json:"responseHeaders"`
	ResponseBody    []byte   `json:"responseBody"`
}

type verdict struct {
	Name   string            `json:"name"`
	IDs    []int             `json:"ids"`
	Scores map[string]string `json:"scores"`
}

func main() {
	setup, err := os.ReadFile(os.Args[1])
	check(err)
	crs := os.Args[2]
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().
		WithDirectives(string(setup)).
		WithDirectives("Include " + filepath.Join(crs, "crs-setup.conf.example")).
		WithDirectives("Include " + filepath.Join(crs, "rules", "*.conf")))
	check(err)
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(make([]byte, 1<<20), 1<<26)
	output := json.NewEncoder(os.Stdout)
	for input.Scan() {
		var sent exchange
		check(json.Unmarshal(input.Bytes(), &sent))
		check(output.Encode(run(waf, &sent)))
	}
	check(input.Err())
}

func run(waf coraza.WAF, sent *exchange) verdict {
	tx := waf.NewTransaction()
	defer tx.Close()
	tx.ProcessConnection("127.0.0.1", 50000, "127.0.0.1", 80)
	tx.ProcessURI(string(sent.URI), string(sent.Method), string(sent.Protocol))
	for i := 0; i+1 < len(sent.Headers); i += 2 {
		tx.AddRequestHeader(string(sent.Headers[i]), string(sent.Headers[i+1]))
	}
	tx.ProcessRequestHeaders()
	if _, _, err := tx.WriteRequestBody(sent.Body); err != nil {
		log.Println(sent.Name, err)
	}
	if _, err := tx.ProcessRequestBody(); err != nil {
		log.Println(sent.Name, err)
	}
	for i := 0; i+1 < len(sent.ResponseHeaders); i += 2 {
		tx.AddResponseHeader(string(sent.ResponseHeaders[i]), string(sent.ResponseHeaders[i+1]))
	}
	tx.ProcessResponseHeaders(sent.Status, "HTTP/1.1")
	if tx.IsResponseBodyProcessable() {
		if _, _, err := tx.WriteResponseBody(sent.ResponseBody); err != nil {
			log.Println(sent.Name, err)
		}
	}
	if _, err := tx.ProcessResponseBody(); err != nil {
		log.Println(sent.Name, err)
	}
	tx.ProcessLogging()

	told := verdict{Name: sent.Name, IDs: []int{}, Scores: map[string]string{}}
	for _, match := range tx.MatchedRules() {
		if logged, ok := match.(interface{ Log() bool }); ok && logged.Log() {
			told.IDs = append(told.IDs, match.Rule().ID())
		}
	}
	slices.Sort(told.IDs)
	for _, one := range tx.(plugintypes.TransactionState).Variables().TX().FindAll() {
		if strings.Contains(one.Key(), "_score") {
			told.Scores[one.Key()] = one.Value()
		}
	}
	return told
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
