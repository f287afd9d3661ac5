"use strict";
(() => {
	const kept = 60; // numbers of a graph, one a second
	const byID = (id) => document.getElementById(id);
	const history = new Map(); // by data-key of a row: its three series
	const seen = new Set(); // rows on the screen, whose graphs are drawn
	let latest = new Map(); // by ID of a row: its numbers
	const token = document.querySelector("meta[name=token]"); // null: no orders are taken
	let shape = document.body.dataset.shape;

	// Times are shown as what has passed, or is to pass, since then.
	const ago = (stamp) => {
		const s = Math.round((Date.now() - Date.parse(stamp)) / 1000);
		if (Number.isNaN(s)) return stamp;
		const n = Math.abs(s);
		const text = n < 60 ? n + " s" : n < 3600 ? Math.floor(n / 60) + " min"
			: n < 86400 ? Math.floor(n / 3600) + " h " + Math.floor(n % 3600 / 60) + " min" : Math.floor(n / 86400) + " d";
		return s < 0 ? "in " + text : text;
	};
	const age = (time) => {
		let text = ago(time.dateTime);
		if (text && !text.startsWith("in ") && !time.closest(".since")) text += " ago";
		if (time.textContent !== text) time.textContent = text;
		const title = time.dateTime && new Date(time.dateTime).toLocaleString();
		if (time.title !== title) time.title = title;
	};
	const ageAll = () => document.querySelectorAll("time").forEach(age);

	const setText = (id, text) => {
		const e = byID(id);
		if (!e) return;
		if (e.tagName !== "TIME") e.textContent = text;
		else if (e.dateTime !== text) { e.dateTime = text; age(e); }
	};

	// say tells those who listen to the page.
	const say = (lines) => {
		if (lines.length > 3) lines = [lines.length + " upstreams have changed their states"];
		if (lines.length) byID("told").textContent = lines.join("; ");
	};

	const showLive = (text, lost) => {
		const e = byID("live");
		e.hidden = false;
		if (e.textContent !== text) e.textContent = text;
		e.toggleAttribute("data-lost", lost);
	};

	// Graphs.
	const ns = "http://www.w3.org/2000/svg";
	const cells = ["f", "h", "l"];
	const graphIn = (cell) => {
		let svg = cell.querySelector("svg");
		if (!svg) {
			svg = document.createElementNS(ns, "svg");
			svg.setAttribute("viewBox", "0 0 " + (kept - 1) + " 20");
			svg.setAttribute("preserveAspectRatio", "none");
			svg.setAttribute("aria-hidden", "true");
			svg.append(document.createElementNS(ns, "path"));
			cell.prepend(svg);
		}
		return svg.firstChild;
	};
	const draw = (row) => {
		const series = history.get(row.dataset.key);
		if (!series) return;
		series.forEach((values, i) => {
			const cell = byID(row.id + cells[i]).parentNode;
			const top = Math.max(1, ...values);
			let d = "", pen = "M";
			values.forEach((v, x) => {
				if (v < 0) { pen = "M"; return; }
				d += pen + (kept - values.length + x) + " " + (19 - v / top * 18).toFixed(1);
				pen = "L";
			});
			graphIn(cell).setAttribute("d", d);
		});
	};
	const watcher = new IntersectionObserver((entries) => entries.forEach((e) => {
		if (!e.isIntersecting) { seen.delete(e.target); return; }
		seen.add(e.target);
		draw(e.target);
	}));
	const rows = () => document.querySelectorAll("tr[data-key]");
	const watchRows = () => {
		watcher.disconnect();
		seen.clear();
		const keys = new Set();
		rows().forEach((row) => { watcher.observe(row); keys.add(row.dataset.key); });
		for (const key of history.keys()) if (!keys.has(key)) history.delete(key);
	};
	const record = () => {
		rows().forEach((row) => {
			const numbers = latest.get(row.id);
			if (!numbers) return;
			let series = history.get(row.dataset.key);
			if (!series) history.set(row.dataset.key, series = [[], [], []]);
			numbers.forEach((n, i) => {
				series[i].push(n);
				if (series[i].length > kept) series[i].shift();
			});
		});
		seen.forEach(draw);
	};

	// The page's own HTML replaces what has another shape now. What a visitor has typed,
	// selected or focused stays.
	let fetching = false, again = false;
	const refetch = async () => {
		if (fetching) { again = true; return; }
		fetching = true;
		try {
			const answer = await fetch("?", { cache: "no-store" });
			if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
		} catch { /* the stream says that the connection is lost */ }
		setTimeout(() => { fetching = false; if (again) { again = false; refetch(); } }, 2000);
	};
	const replace = (fresh) => {
		const focused = document.activeElement;
		const place = focused && focused.closest("tr[data-key]")?.dataset.key;
		const old = new Map();
		document.querySelectorAll("section[data-pool]").forEach((s) => old.set(s.dataset.pool, s));
		fresh.querySelectorAll("section[data-pool]").forEach((s) => {
			const before = old.get(s.dataset.pool);
			if (!before) return;
			const checked = new Set([...before.querySelectorAll("input[name=upstream]:checked")].map((i) => i.value));
			s.querySelectorAll("input[name=upstream]").forEach((i) => { i.checked = checked.has(i.value); });
			s.querySelectorAll("form").forEach((form) => {
				const kind = form.querySelector("[name=of]") ? "pool" : "upstream";
				const was = [...before.querySelectorAll("form")].find((f) => (f.querySelector("[name=of]") ? "pool" : "upstream") === kind);
				form.querySelectorAll("input:not([type=hidden])").forEach((input) => {
					const typed = was && was.querySelector("[name=" + input.name + "]");
					if (typed) { input.value = typed.value; input.checked = typed.checked; }
				});
			});
		});
		const focusedForm = focused && focused.form && focused.closest("section")?.dataset.pool;
		byID("pools").replaceWith(document.adoptNode(fresh.getElementById("pools")));
		shape = fresh.body.dataset.shape;
		const fresher = fresh.querySelector("meta[name=token]");
		if (token && fresher) {
			token.content = fresher.content;
			document.querySelectorAll("input[name=token]").forEach((i) => { i.value = token.content; });
		}
		latest = new Map();
		if (place) [...rows()].find((r) => r.dataset.key === place)?.querySelector("input")?.focus();
		else if (focusedForm && focused.name) {
			[...document.querySelectorAll("section[data-pool]")].find((s) => s.dataset.pool === focusedForm)
				?.querySelector("form [name=" + focused.name + "]" + (focused.tagName === "BUTTON" ? "[value=" + focused.value + "]" : ""))?.focus();
		}
		watchRows();
		ageAll();
		connect(); // for all that has changed meanwhile
	};

	// Lists.
	const cell = (row, name, content) => {
		const td = row.insertCell();
		td.setAttribute("role", "cell");
		if (name) td.dataset.name = name;
		td.append(content);
		return td;
	};
	const timeOf = (stamp) => {
		const time = document.createElement("time");
		time.dateTime = stamp;
		age(time);
		return time;
	};
	const fill = (id, list, none, add) => {
		const body = byID(id);
		body.replaceChildren();
		list.forEach((item) => {
			const row = body.insertRow();
			row.setAttribute("role", "row");
			add(row, item);
		});
		if (!list.length) cell(body.insertRow(), "", none).colSpan = 7;
	};
	const input = (name, value) => {
		const e = document.createElement("input");
		Object.assign(e, { type: "hidden", name, value });
		return e;
	};
	const withdrawal = (o) => {
		const form = document.createElement("form"), button = document.createElement("button");
		Object.assign(form, { method: "post" });
		form.setAttribute("action", "?");
		Object.assign(button, { name: "action", value: "withdraw", textContent: "Withdraw" });
		button.setAttribute("aria-label", "Withdraw the order for " + (o.Address || o.Pool));
		form.append(input("token", token.content), input("pool", o.Pool),
			o.Address ? input("upstream", o.Address) : input("of", "pool"), button);
		return form;
	};
	const showOrders = (list) => {
		fill("orders", list || [], "None.", (row, o) => {
			cell(row, "pool", o.Pool || "all");
			cell(row, "upstream", o.Address || "the pool");
			cell(row, "order", o.What + (o.Dormant ? " (for nothing that is configured)" : ""));
			cell(row, "reason", o.Why);
			cell(row, "given", timeOf(o.Given));
			cell(row, "ends", o.Ends ? timeOf(o.Ends) : "when withdrawn");
			if (token) cell(row, "", withdrawal(o));
		});
	};
	const showEvents = (list) => fill("events", list || [], "None since this Caddy started.", (row, e) => {
		cell(row, "when", timeOf(e.Time));
		cell(row, "pool", e.Pool);
		cell(row, "upstream", e.Upstream);
		cell(row, "change", e.What);
		cell(row, "reason", e.Why);
	});

	const apply = (change) => {
		showLive("live", false);
		if (change.orders !== undefined) showOrders(change.orders);
		if (change.events !== undefined) showEvents(change.events);
		if (change.shape !== shape) {
			if (change.texts && change.texts.summary) setText("summary", change.texts.summary);
			refetch();
			return;
		}
		const lines = [];
		for (const [id, state] of Object.entries(change.states || {})) {
			const row = byID(id);
			if (!row || row.dataset.state === state) continue;
			row.dataset.state = state;
			lines.push(row.dataset.key.split(" ").slice(1).join(" ") + " is now " + state.replaceAll("_", " "));
		}
		say(lines);
		for (const [id, text] of Object.entries(change.texts || {})) setText(id, text);
		for (const [id, numbers] of Object.entries(change.numbers || {})) latest.set(id, numbers);
		record();
	};

	// The stream. It ends when Caddy stops or loads a configuration, and while nobody looks.
	let stream = null, retry = 0;
	const disconnect = () => {
		clearTimeout(retry);
		if (stream) stream.close();
		stream = null;
	};
	const connect = () => {
		disconnect();
		if (document.hidden) return;
		stream = new EventSource("?live");
		stream.onmessage = (e) => apply(JSON.parse(e.data));
		stream.onerror = () => {
			showLive("connection lost: these are old", true);
			if (stream.readyState === EventSource.CLOSED) { // the browser has given up
				clearTimeout(retry);
				retry = setTimeout(connect, 2000);
			}
		};
	};
	document.addEventListener("visibilitychange", () => document.hidden ? disconnect() : connect());
	addEventListener("pagehide", disconnect);
	addEventListener("pageshow", (e) => { if (e.persisted) connect(); });
	if (location.search) window.history.replaceState(null, "", location.pathname);

	setInterval(ageAll, 5000);
	ageAll();
	watchRows();
	connect();
})();
