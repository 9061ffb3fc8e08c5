const page = new Page(JSON.parse(document.getElementById("report-data").textContent));
page.start();
