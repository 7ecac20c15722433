package api

import (
	"bytes"
	"encoding/csv"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// wantsCSV reports whether a request is for comma-separated values: its path ends
// so, ?format= says so, or its Accept names text/csv before application/json.
func wantsCSV(r *http.Request) (bool, error) {
	switch format := r.URL.Query().Get("format"); {
	case format == "csv":
		return true, nil
	case format == "json":
		return false, nil
	case format != "":
		return false, invalid("FORMAT", "format is json or csv")
	case strings.HasSuffix(r.URL.Path, ".csv"):
		return true, nil
	}
	return preferred(r.Header.Values("Accept"), "application/json", "text/csv") == "text/csv", nil
}

// preferred is which of some media types an Accept wants most (RFC 9110 §12.5.1),
// the first of them if it does not say.
func preferred(accept []string, types ...string) string {
	best, most := types[0], 0.0
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		for _, t := range types {
			if name == t && q > most {
				best, most = t, q
			}
		}
	}
	return best
}

// writeCSV answers with lines by RFC 4180, the first of which names the columns.
func writeCSV(w http.ResponseWriter, name string, lines [][]string) {
	var out bytes.Buffer
	c := csv.NewWriter(&out)
	c.UseCRLF = true
	_ = c.WriteAll(lines) // into memory
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(out.Bytes())
}

// cell is a text that others may have chosen, so that no spreadsheet takes it for
// a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
