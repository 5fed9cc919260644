package main

// Settings are the registers of a heat pump that is made up. Each field has two tags: what it is for
// people, and where it is in the unit.
type Settings struct {
	Target  float64 `device:"target,unit=°C,min=20,max=60,step=0.5" modbus:"holding,0,uint16,scale=0.1" help:"The temperature of the water."`
	Mode    int     `device:"mode,min=0,max=3" modbus:"holding,1" help:"0 off, 1 heat, 2 cool, 3 defrost."`
	Boost   bool    `device:"boost" modbus:"coil,0"`
	Reading struct {
		Flow    float64 `device:"flow,unit=°C" modbus:"input,0,int16,scale=0.1"`
		Return  float64 `device:"return,unit=°C" modbus:"input,1,int16,scale=0.1"`
		Outside float64 `device:"outside,unit=°C" modbus:"input,2,int16,scale=0.1"`
		Power   float64 `device:"power,unit=W" modbus:"input,4,float32"`
		Energy  uint32  `device:"energy,unit=kWh" modbus:"input,6,uint32"`
		Defrost bool    `device:"defrost" modbus:"input,8,bit=0"`
		Fault   bool    `device:"fault" modbus:"input,8,bit=1"`
		Door    bool    `device:"door" modbus:"discrete,0"`
	} `device:"reading,readonly" group:"Readings"`
	Unit struct {
		Online bool   `device:"online" help:"The unit has replied to all questions of the last round."`
		Error  string `device:"error"`
	} `device:"unit,readonly" group:"Unit"`
}

func defaults() Settings { return Settings{Target: 45} }
