package device

import "encoding/json"

// A schema is one level of JSON Schema 2020-12.
type schema struct {
	Dialect    string             `json:"$schema,omitempty"`
	Type       string             `json:"type"`
	Title      string             `json:"title,omitempty"`
	Help       string             `json:"description,omitempty"`
	Properties map[string]*schema `json:"properties,omitempty"`
	Order      []string           `json:"x-order,omitempty"`
	Closed     *bool              `json:"additionalProperties,omitempty"`

	Minimum    *float64 `json:"minimum,omitempty"`
	Maximum    *float64 `json:"maximum,omitempty"`
	MinLength  *float64 `json:"minLength,omitempty"`
	MaxLength  *float64 `json:"maxLength,omitempty"`
	MultipleOf float64  `json:"multipleOf,omitempty"`
	Enum       []string `json:"enum,omitempty"`
	ReadOnly   bool     `json:"readOnly,omitempty"`
	WriteOnly  bool     `json:"writeOnly,omitempty"`

	Default json.RawMessage `json:"default,omitempty"`
	Unit    string          `json:"x-unit,omitempty"`
	Step    float64         `json:"x-step,omitempty"`
	Group   string          `json:"x-group,omitempty"`
	Restart bool            `json:"x-restart,omitempty"`
	Role    string          `json:"x-role,omitempty"`
}

// Schema returns the declaration as JSON Schema (2020-12). A page can make a form from it. Members
// that begin with "x-" are ours: the order of the properties, the unit, the step, the heading,
// whether a change needs a restart, and the role that may change it. Safe for concurrent use.
func (d *core) Schema() []byte {
	s := d.schema(d.root)
	s.Dialect = "https://json-schema.org/draft/2020-12/schema"
	text, err := json.Marshal(s)
	if err != nil {
		panic("device: schema: " + err.Error()) // nothing in it can fail
	}
	return text
}

func (d *core) schema(n *node) *schema {
	closed := false
	s := &schema{Type: "object", Properties: map[string]*schema{}, Order: n.names, Closed: &closed}
	for name, g := range n.group {
		s.Properties[name] = d.schema(g)
	}
	for name, f := range n.field {
		s.Properties[name] = d.schemaOf(f)
	}
	return s
}

func (d *core) schemaOf(f *Field) *schema {
	s := &schema{Type: f.Type, Help: f.Help, Enum: f.Enum, ReadOnly: f.ReadOnly, WriteOnly: f.Secret,
		Unit: f.Unit, Step: f.Step, Group: f.Group, Restart: f.Restart, Role: f.Role.String()}
	if !f.Secret {
		s.Default = f.append(nil, d.defaults)
	}
	switch {
	case f.Type == "string":
		s.MinLength, s.MaxLength = f.Min, f.Max
	default:
		s.Minimum, s.Maximum = f.Min, f.Max
		// multipleOf counts from 0, our steps from the minimum.
		if f.Min == nil || *f.Min == 0 {
			s.MultipleOf = f.Step
		}
	}
	return s
}
