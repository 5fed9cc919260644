package wire

// A Refusal says why bytes are not taken. It is made once for each reason: a flood of bad requests
// allocates nothing.
type Refusal struct {
	Status int    // to reply to a request with; 0 when it is a response that is not taken
	Text   string // what is wrong
}

func (e *Refusal) Error() string {
	if e.Status == 0 {
		return "http: response: " + e.Text
	}
	return "http: request: " + e.Text
}

// IsLimit reports whether the bytes are refused because a head is over one of its Limits.
func (e *Refusal) IsLimit() bool { return e.Text == errLongHead.Text || e.Text == errManyFields.Text }

// Refusals of start lines and fields. A ResponseHead returns them without the status.
var (
	errBlankLines = &Refusal{400, "more than one empty line before the request line"}
	errBareLF     = &Refusal{400, "LF without CR"}
	errBareCR     = &Refusal{400, "CR without LF"}
	errMethod     = &Refusal{400, "method is not a token"}
	errLongMethod = &Refusal{501, "method too long"}
	errTargetByte = &Refusal{400, "byte not allowed in the target"}
	errNoTarget   = &Refusal{400, "empty target"}
	errLongTarget = &Refusal{414, "target too long"}
	errVersion    = &Refusal{400, "malformed HTTP version"}
	errOtherHTTP  = &Refusal{505, "neither HTTP/1.0 nor HTTP/1.1"}
	errFold       = &Refusal{400, "line begins with white space"}
	errNoName     = &Refusal{400, "empty field name"}
	errNameByte   = &Refusal{400, "field name is not a token followed by a colon"}
	errValueByte  = &Refusal{400, "control character in a field value"}
	errLongHead   = &Refusal{431, "head too long"}
	errManyFields = &Refusal{431, "too many header fields"}
)
